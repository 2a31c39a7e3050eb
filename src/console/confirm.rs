//! The link of the mail that follows a sign-up. Opened where somebody signed up, it confirms and signs in; elsewhere it
//! asks first, for programs that look at mails open links as well, and it signs nobody in: whoever opened it has not
//! shown the password.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    attempts::origin,
    browser::Browser,
    fault::Fault,
    form::{self, Form},
    page::{self, Frame},
};
use crate::accounts::{
    registrations::{self, RegistrationError},
    secret_text::SecretText,
    sessions::{self, Stage},
};

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    frame: Frame,
    /// None: the link shows nothing any more.
    token: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    SameBrowser,
    Elsewhere,
}

/// `GET /sign-up/confirm/{token}`
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let browser = Browser::of(&request);
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&browser));
    };
    let now = crate::clock::now();
    let mut db = console.pool.acquire().await?;
    let is_from = registrations::is_from(&mut db, &secret, Some(browser.visitor()), now).await;
    drop(db);
    match is_from {
        Err(RegistrationError::NotFound) => Ok(over(&browser)),
        Err(error) => Err(error.into()),
        Ok(true) => confirm(&request, &console, &secret, Where::SameBrowser).await,
        Ok(false) => {
            let mut response = page::show(&ConfirmPage {
                frame: Frame::visitor(&browser),
                token: Some(token.into_inner()),
            });
            browser.keep(&mut response);
            Ok(response)
        }
    }
}

/// `POST /sign-up/confirm/{token}`
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    match SecretText::parse(&token) {
        Some(secret) => confirm(&request, &console, &secret, Where::Elsewhere).await,
        None => Ok(over(&Browser::of(&request))),
    }
}

async fn confirm(
    request: &HttpRequest,
    console: &Console,
    secret: &SecretText,
    place: Where,
) -> Result<HttpResponse, Fault> {
    let (browser, now) = (Browser::of(request), crate::clock::now());
    let mut tx = console.pool.begin().await?;
    let confirmed = match registrations::confirm(&mut tx, &console.keyring, secret, now).await {
        Err(RegistrationError::NotFound) => return Ok(over(&browser)),
        confirmed => confirmed?,
    };
    let session = match place {
        Where::Elsewhere => None,
        Where::SameBrowser => {
            let whose = (confirmed.user_id, confirmed.organisation_id);
            let origin = origin(request, &console.trusted_proxies);
            Some(sessions::begin(&mut tx, whose, &origin, Stage::SignedIn, now).await?)
        }
    };
    tx.commit().await?;
    Ok(match session {
        None => page::go_to("/sign-in?done=confirmed&next=%2Fwelcome"),
        Some(session) => {
            let mut response = page::go_to("/welcome");
            browser.sign_in(&mut response, &session);
            response
        }
    })
}

fn over(browser: &Browser) -> HttpResponse {
    let page = ConfirmPage {
        frame: Frame::visitor(browser),
        token: None,
    };
    page::answer(actix_web::http::StatusCode::NOT_FOUND, &page)
}
