//! What whoever holds a share link sees: one domain's steps and state, nothing of the MDM, and of the MSP what it
//! says of itself.
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use askama::Template;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    live::Live,
    set_up::{self, SetUp},
    words::Reader,
};
use crate::{
    accounts::organisations::branding::Branding,
    clock::DatabaseTime,
    console::{
        Console,
        fault::Fault,
        page::{self, Frame, day},
        sender::{self, Sender},
    },
    domains::{
        Domain,
        share_links::{self, LinkToken, ShareLinkError},
    },
};

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage {
    frame: Frame,
    hostname: String,
    live: Live,
    set_up: SetUp,
    until: String,
    sender: Option<Sender>,
}

#[derive(Template)]
#[template(path = "shared_nothing.html")]
struct NothingPage {
    frame: Frame,
}

/// `GET /share/{token}`, without an account.
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let opened = match LinkToken::parse(&token) {
        Some(token) => open(&mut db, &token, now).await,
        None => Err(ShareLinkError::NotFound),
    };
    let (domain, until, branding) = match opened {
        Ok(opened) => opened,
        Err(ShareLinkError::NotFound) => {
            let page = NothingPage {
                frame: Frame::anonymous(),
            };
            return Ok(kept_nowhere(page::answer(StatusCode::NOT_FOUND, &page)));
        }
        Err(other) => return Err(other.into()),
    };
    let live = Live::new(&domain, &console.checker.expected, now.get(), Reader::Guest);
    if page::query(&request, "part").as_deref() == Some("live") {
        return Ok(kept_nowhere(page::show(&live)));
    }
    Ok(kept_nowhere(page::show(&SharedPage {
        frame: Frame::anonymous(),
        live,
        set_up: SetUp::new(&console, &domain, None),
        until: day(&until),
        hostname: domain.hostname,
        sender: Sender::new(branding, &format!("/share/{token}/logo")),
    })))
}

async fn open(
    db: &mut PgConnection,
    token: &LinkToken,
    now: DatabaseTime,
) -> Result<(Domain, DateTime<Utc>, Branding), ShareLinkError> {
    let (domain, until) = share_links::open(&mut *db, token, now).await?;
    Ok((domain, until, share_links::sender(db, token, now).await?))
}

/// `GET /share/{token}/logo`, without an account.
pub async fn show_logo(console: web::Data<Console>, token: web::Path<String>) -> Result<HttpResponse, Fault> {
    let token = LinkToken::parse(&token).ok_or(Fault::NoSuchPage)?;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let logo = share_links::logo(&mut db, &token, now).await?;
    Ok(kept_nowhere(sender::picture(logo.ok_or(Fault::NoSuchPage)?)))
}

/// The address is the secret: no index and no other site is to keep it. Every page says already that no cache may.
fn kept_nowhere(mut response: HttpResponse) -> HttpResponse {
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
