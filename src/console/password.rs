//! A forgotten password: a link by mail, and another one.
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use tokio::time::Instant;

use super::{
    Console, attempts,
    browser::Browser,
    fault::Fault,
    form::{self, Form},
    page::{self, Frame},
};
use crate::{
    accounts::{
        email::Email,
        password_links::{self, PasswordLinkError},
        secret_text::SecretText,
    },
    mail::Mail,
    outbox,
    passwords::NewPassword,
};

/// Whoever asks for a link is answered after so long, whether one was made or not: making one takes longer than making
/// none, and the difference would tell which addresses are known.
const ANSWER_AFTER: Duration = Duration::from_millis(250);

#[derive(Template)]
#[template(path = "password_forgotten.html")]
struct ForgottenPage {
    frame: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "sent.html")]
struct SentPage {
    frame: Frame,
    shows_mails: bool,
}

#[derive(Template)]
#[template(path = "password_new.html")]
struct NewPasswordPage {
    frame: Frame,
    form: Form,
    /// The link's token; none: it shows nothing any more.
    token: Option<String>,
}

impl From<PasswordLinkError> for Fault {
    fn from(error: PasswordLinkError) -> Self {
        match error {
            PasswordLinkError::NotFound => Self::NoSuchPage,
            PasswordLinkError::Organisation(error) => error.into(),
            PasswordLinkError::Database(error) => Self::Database(error),
        }
    }
}

/// `GET /password/forgotten`
pub async fn show(request: HttpRequest) -> HttpResponse {
    let browser = Browser::of(&request);
    let mut response = page::show(&ForgottenPage {
        frame: Frame::visitor(&browser),
        form: Form::default(),
    });
    browser.keep(&mut response);
    response
}

/// `POST /password/forgotten`: `email`. Whoever asks is told the same, known or not.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    attempts::take(&request, &console).await?;
    let Some(email) = form.parse("email", Email::parse) else {
        let frame = Frame::visitor(&Browser::of(&request));
        return Ok(page::refuse(&ForgottenPage { frame, form }));
    };
    let (now, answer_at) = (crate::clock::now(), Instant::now() + ANSWER_AFTER);
    let mut tx = console.pool.begin().await?;
    if let Some(secret) = password_links::make(&mut tx, &console.keyring, &email, now).await? {
        let portal = &console.portal_url;
        let text = format!(
            "Somebody, probably you, has asked for a new password for Signpost.\n\nOpen this link to set one. It works once, for an hour:\n\n{portal}/password/new/{}\n\nIf that was not you, do nothing: your password stays as it is.\n",
            secret.expose()
        );
        let mail = Mail {
            to: email.expose().to_owned(),
            subject: "Set a new password".to_owned(),
            text,
        };
        outbox::post(&mut tx, &console.keyring, None, &mail, now).await?;
    }
    tx.commit().await?;
    tokio::time::sleep_until(answer_at).await;
    Ok(page::go_to("/password/sent"))
}

/// `GET /password/sent`
pub async fn sent(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    page::show(&SentPage {
        frame: Frame::visitor(&Browser::of(&request)),
        shows_mails: console.shows_mails,
    })
}

/// `GET /password/new/{token}`
pub async fn show_new(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let browser = Browser::of(&request);
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&browser));
    };
    let mut db = console.pool.acquire().await?;
    match password_links::find(&mut db, &console.keyring, &secret, crate::clock::now()).await {
        Err(PasswordLinkError::NotFound) => return Ok(over(&browser)),
        found => drop(found?),
    }
    let mut response = page::show(&NewPasswordPage {
        frame: Frame::visitor(&browser),
        form: Form::default(),
        token: Some(token.into_inner()),
    });
    browser.keep(&mut response);
    Ok(response)
}

/// `POST /password/new/{token}`: `password`.
pub async fn set_new(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let (browser, now) = (Browser::of(&request), crate::clock::now());
    attempts::take(&request, &console).await?;
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&browser));
    };
    let mut db = console.pool.acquire().await?;
    let person = match password_links::find(&mut db, &console.keyring, &secret, now).await {
        Err(PasswordLinkError::NotFound) => return Ok(over(&browser)),
        found => found?,
    };
    drop(db);
    let about = [person.email.expose(), person.name.as_deref().unwrap_or_default()];
    let Some(password) = form.parse("password", |text| NewPassword::parse(text, &about)) else {
        return Ok(page::refuse(&NewPasswordPage {
            frame: Frame::visitor(&browser),
            form,
            token: Some(token.into_inner()),
        }));
    };
    let hash = console.passwords.hash(password).await?;
    let mut tx = console.pool.begin().await?;
    match password_links::redeem(&mut tx, &secret, &hash, now).await {
        Err(PasswordLinkError::NotFound) => return Ok(over(&browser)),
        redeemed => drop(redeemed?),
    }
    tx.commit().await?;
    Ok(page::go_to("/sign-in?done=password"))
}

fn over(browser: &Browser) -> HttpResponse {
    let page = NewPasswordPage {
        frame: Frame::visitor(browser),
        form: Form::default(),
        token: None,
    };
    page::answer(actix_web::http::StatusCode::NOT_FOUND, &page)
}
