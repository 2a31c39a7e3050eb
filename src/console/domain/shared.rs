//! What whoever holds a share link sees: one domain's steps and state, and nothing of the MSP or the MDM.
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use askama::Template;

use super::{
    live::Live,
    set_up::{self, SetUp},
    words::Reader,
};
use crate::{
    console::{
        Console,
        fault::Fault,
        page::{self, Frame, day},
    },
    domains::share_links::{self, LinkToken, ShareLinkError},
};

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage {
    frame: Frame,
    hostname: String,
    live: Live,
    set_up: SetUp,
    until: String,
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
    let now = crate::clock::now();
    let opened = match LinkToken::parse(&token) {
        Some(token) => share_links::open(&mut *console.pool.acquire().await?, &token, now).await,
        None => Err(ShareLinkError::NotFound),
    };
    let (domain, until) = match opened {
        Ok(opened) => opened,
        Err(ShareLinkError::NotFound) => {
            let page = NothingPage {
                frame: Frame::anonymous(),
            };
            return Ok(kept_nowhere(page::answer(StatusCode::NOT_FOUND, &page)));
        }
        Err(other) => return Err(other.into()),
    };
    let live = Live::new(&domain, &console.checker.expected, now, Reader::Guest);
    if page::query(&request, "part").as_deref() == Some("live") {
        return Ok(kept_nowhere(page::show(&live)));
    }
    Ok(kept_nowhere(page::show(&SharedPage {
        frame: Frame::anonymous(),
        live,
        set_up: SetUp::new(&console, &domain, None),
        until: day(&until),
        hostname: domain.hostname,
    })))
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
