//! The link of the mail that follows a sign-up. Opened in the browser that signed up, it confirms and signs in. Elsewhere
//! it shows what was typed at the sign-up and asks for a password: anybody can sign up with anybody's address, so the
//! password of the sign-up counts only in its own browser. Opening the link alone changes nothing there, because programs
//! that scan mails open links too.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    attempts::{self, origin},
    browser::Browser,
    fault::Fault,
    form::{self, Form},
    page::{self, Frame},
};
use crate::{
    accounts::{
        known_browsers,
        registrations::{self, Confirmation, Opened, RegistrationError},
        secret_text::SecretText,
        sessions::{self, Origin, Stage},
    },
    input::Name,
    passwords::NewPassword,
};

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    frame: Frame,
    form: Form,
    /// `None`: the link does not work, or no longer.
    link: Option<Link>,
}

struct Link {
    token: String,
    email: String,
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
    let opened = match open(&console, (&secret, &browser)).await {
        Err(RegistrationError::NotFound) => return Ok(over(&browser)),
        opened => opened?,
    };
    if opened.is_same_browser {
        let origin = origin(&request, &console.trusted_proxies);
        let confirmation = Confirmation::SameBrowser(browser.visitor());
        return confirm((&request, &console), (&secret, &origin), confirmation).await;
    }
    let mut response = page::show(&ConfirmPage {
        frame: Frame::visitor(&browser),
        form: Form::of(&[("organisation", &opened.organisation), ("name", &opened.name)]),
        link: Some(Link::of(&secret, &opened)),
    });
    browser.keep(&mut response);
    Ok(response)
}

impl Link {
    fn of(secret: &SecretText, opened: &Opened) -> Self {
        Self {
            token: secret.expose().to_owned(),
            email: opened.email.expose().to_owned(),
        }
    }
}

async fn open(console: &Console, (secret, browser): (&SecretText, &Browser)) -> Result<Opened, RegistrationError> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let link = (secret, browser.visitor());
    registrations::open(&mut db, &console.keyring, link, now).await
}

/// `POST /sign-up/confirm/{token}`: `password`; `organisation` and `name`, if they are to be others than at the sign-up.
pub async fn submit(
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
    let opened = match open(&console, (&secret, &browser)).await {
        Err(RegistrationError::NotFound) => {
            attempts::take(&request, &console).await?;
            return Ok(over(&browser));
        }
        opened => opened?,
    };
    let origin = attempts::take_as(&request, &console, &secret.digest())?;
    for (field, typed) in [("organisation", &opened.organisation), ("name", &opened.name)] {
        if form.find(field).is_none() {
            form.set(field, typed);
        }
    }
    let organisation = form.parse("organisation", Name::parse);
    let name = form.parse("name", Name::parse);
    let about = [form.value("organisation"), form.value("name"), opened.email.expose()].map(str::to_owned);
    let about = about.each_ref().map(String::as_str);
    let password = form.parse("password", |text| NewPassword::parse(text, &about));
    let (Some(organisation), Some(name), Some(password)) = (organisation, name, password) else {
        return Ok(page::refuse(&ConfirmPage {
            frame: Frame::visitor(&browser),
            form,
            link: Some(Link::of(&secret, &opened)),
        }));
    };
    let confirmation = Confirmation::Elsewhere {
        organisation: organisation.as_str(),
        name: name.as_str(),
        password_hash: &console.passwords.hash(password).await?,
    };
    confirm((&request, &console), (&secret, &origin), confirmation).await
}

async fn confirm(
    (request, console): (&HttpRequest, &Console),
    (secret, origin): (&SecretText, &Origin),
    confirmation: Confirmation<'_>,
) -> Result<HttpResponse, Fault> {
    let browser = Browser::of(request);
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let confirmed = match registrations::confirm(&mut tx, &console.keyring, secret, confirmation, now).await {
        Err(RegistrationError::NotFound) => return Ok(over(&browser)),
        confirmed => confirmed?,
    };
    let whose = (confirmed.user_id, confirmed.organisation_id);
    let session = sessions::begin(&mut tx, whose, origin, Stage::SignedIn, now).await?;
    let known = known_browsers::remember(&mut tx, confirmed.user_id, Browser::known(request).as_ref()).await?;
    tx.commit().await?;
    let mut response = page::go_to("/welcome");
    browser.sign_in(&mut response, &session);
    browser.remember(&mut response, &known);
    Ok(response)
}

fn over(browser: &Browser) -> HttpResponse {
    let page = ConfirmPage {
        frame: Frame::visitor(browser),
        form: Form::default(),
        link: None,
    };
    page::answer(actix_web::http::StatusCode::NOT_FOUND, &page)
}
