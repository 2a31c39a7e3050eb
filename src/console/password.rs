//! A forgotten password: a link by mail, and another one.
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Console, attempts,
    browser::Browser,
    fault::Fault,
    form::{self, Form},
    page::{self, Frame, moment},
};
use crate::{
    accounts::{
        email::Email,
        known_browsers,
        password_links::{self, OtherFactors, PasswordLinkError, Redeemed, Reset},
        second_factors::REMOVAL_DELAY,
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
    /// The link's token; `None`: it does not work, or no longer.
    token: Option<String>,
    others: OtherFactors,
    /// Days until a second factor is removed that the person can't use.
    removal_days: i64,
}

impl NewPasswordPage {
    fn new(browser: &Browser, form: Form, link: Option<(&SecretText, OtherFactors)>) -> Self {
        let (token, others) = match link {
            Some((secret, others)) => (Some(secret.expose().to_owned()), others),
            None => (None, OtherFactors::default()),
        };
        Self {
            frame: Frame::visitor(browser),
            form,
            token,
            others,
            removal_days: REMOVAL_DELAY.num_days(),
        }
    }
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
    let answer_at = Instant::now() + ANSWER_AFTER;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    if let Some(secret) = password_links::make(&mut tx, &console.keyring, &email, now).await? {
        let portal = &console.portal_url;
        let text = format!(
            "You (or someone using this address) asked for a new password for Signpost.\n\nOpen this link to set one. It works once, for an hour:\n\n{portal}/password/new/{}\n\nIf this wasn't you, ignore this e-mail: your password stays as it is.\n",
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
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let person = match password_links::find(&mut db, &console.keyring, &secret, now).await {
        Err(PasswordLinkError::NotFound) => return Ok(over(&browser)),
        found => found?,
    };
    let others = password_links::other_factors(&mut db, person.user_id, now).await?;
    let page = NewPasswordPage::new(&browser, Form::default(), Some((&secret, others)));
    let mut response = page::show(&page);
    browser.keep(&mut response);
    Ok(response)
}

/// `POST /password/new/{token}`: `password`; `keep` for each passkey that stays; `second_factor` is `remove` if it can't be
/// used.
pub async fn set_new(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let browser = Browser::of(&request);
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&browser));
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let person = match password_links::find(&mut db, &console.keyring, &secret, now).await {
        Err(PasswordLinkError::NotFound) => {
            drop(db);
            attempts::take(&request, &console).await?;
            return Ok(over(&browser));
        }
        found => found?,
    };
    let others = password_links::other_factors(&mut db, person.user_id, now).await?;
    drop(db);
    attempts::take_as(&request, &console, &secret.digest())?;
    let about = [person.email.expose(), person.name.as_deref().unwrap_or_default()];
    let Some(password) = form.parse("password", |text| NewPassword::parse(text, &about)) else {
        let page = NewPasswordPage::new(&browser, form, Some((&secret, others)));
        return Ok(page::refuse(&page));
    };
    let kept_passkeys: Vec<_> = form.all("keep").filter_map(|id| Uuid::parse_str(id).ok()).collect();
    let reset = Reset {
        password_hash: &console.passwords.hash(password).await?,
        kept_passkeys: &kept_passkeys,
        removes_second_factor: form.has("second_factor", "remove"),
    };
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let redeemed = match password_links::redeem(&mut tx, &secret, &reset, now).await {
        Err(PasswordLinkError::NotFound) => return Ok(over(&browser)),
        redeemed => redeemed?,
    };
    let known = known_browsers::remember(&mut tx, redeemed.user_id, Browser::known(&request).as_ref()).await?;
    let mail = reset_mail(&console.portal_url, &person.email, &redeemed);
    outbox::post(&mut tx, &console.keyring, None, &mail, now).await?;
    tx.commit().await?;
    let mut response = page::go_to("/sign-in?done=password");
    browser.remember(&mut response, &known);
    Ok(response)
}

/// Tells the person what the reset changed, in case another person reads the mailbox.
fn reset_mail(portal: &str, email: &Email, redeemed: &Redeemed) -> Mail {
    let passkeys = match redeemed.removed_passkeys {
        0 => String::new(),
        1 => "1 passkey was removed.\n\n".to_owned(),
        count => format!("{count} passkeys were removed.\n\n"),
    };
    let second_factor = match redeemed.second_factor_removal_at {
        None => String::new(),
        Some(at) => format!(
            "The second factor will be removed on {}. To keep it, sign in with it before then.\n\n",
            moment(&at)
        ),
    };
    Mail {
        to: email.expose().to_owned(),
        subject: "Your password was reset".to_owned(),
        text: format!(
            "The password of your Signpost account was reset by a link that was sent to this address. Every browser was signed out.\n\n{passkeys}{second_factor}If someone else had access to your account, check the API tokens, webhooks and members of your organisation: {portal}/settings\n\nIf this wasn't you, someone else can read your e-mail: secure your mailbox, then reset the password again: {portal}/password/forgotten\n"
        ),
    }
}

fn over(browser: &Browser) -> HttpResponse {
    let page = NewPasswordPage::new(browser, Form::default(), None);
    page::answer(actix_web::http::StatusCode::NOT_FOUND, &page)
}
