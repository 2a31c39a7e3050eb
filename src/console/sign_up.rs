//! Signing up: an organisation and its first person. Nothing exists before the address is confirmed.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

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
        registrations::{self, Answer, NewRegistration, RegistrationError},
    },
    input::Name,
    mail::Mail,
    outbox,
    passwords::NewPassword,
};

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUpPage {
    frame: Frame,
    form: Form,
    may_register: bool,
}

#[derive(Template)]
#[template(path = "sent.html")]
struct SentPage {
    frame: Frame,
    shows_mails: bool,
}

impl From<RegistrationError> for Fault {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::NotFound => Self::NoSuchPage,
            RegistrationError::Organisation(error) => error.into(),
            RegistrationError::Database(error) => Self::Database(error),
        }
    }
}

/// `GET /sign-up`
pub async fn show(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    let browser = Browser::of(&request);
    let mut response = page::show(&SignUpPage {
        frame: Frame::visitor(&browser),
        form: Form::default(),
        may_register: console.may_register,
    });
    browser.keep(&mut response);
    response
}

/// `POST /sign-up`: `organisation`, `name`, `email`, `password`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    if !console.may_register {
        return Err(Fault::Forbidden);
    }
    attempts::take(&request, &console).await?;
    let browser = Browser::of(&request);
    let organisation = form.parse("organisation", Name::parse);
    let name = form.parse("name", Name::parse);
    let email = form.parse("email", Email::parse);
    let about = ["organisation", "name", "email"].map(|field| form.value(field).to_owned());
    let about = about.each_ref().map(String::as_str);
    let password = form.parse("password", |text| NewPassword::parse(text, &about));
    let (Some(organisation), Some(name), Some(email), Some(password)) = (organisation, name, email, password) else {
        return Ok(page::refuse(&SignUpPage {
            frame: Frame::visitor(&browser),
            form,
            may_register: true,
        }));
    };
    let new = NewRegistration {
        organisation: organisation.into_string(),
        name: name.into_string(),
        email,
        password_hash: console.passwords.hash(password).await?,
    };
    let now = crate::clock::now();
    let mut tx = console.pool.begin().await?;
    let answer = registrations::begin(&mut tx, &console.keyring, &new, browser.visitor(), now).await?;
    if let Some(mail) = mail(&console.portal_url, &new, &answer) {
        outbox::post(&mut tx, &console.keyring, None, &mail, now).await?;
    }
    tx.commit().await?;
    Ok(page::go_to("/sign-up/sent"))
}

fn mail(portal: &str, new: &NewRegistration, answer: &Answer) -> Option<Mail> {
    let (subject, text) = match answer {
        Answer::Confirm(secret) => (
            "Confirm your address",
            format!(
                "Somebody, probably you, has signed up to Signpost with this address.\n\nOpen this link to confirm it. It works for 24 hours:\n\n{portal}/sign-up/confirm/{}\n\nIf that was not you, do nothing: nothing happens then.\n",
                secret.expose()
            ),
        ),
        Answer::Known => (
            "You have an account already",
            format!(
                "Somebody, probably you, has tried to sign up to Signpost with this address. It has an account already.\n\nSign in: {portal}/sign-in\nIf you have forgotten the password: {portal}/password/forgotten\n\nIf that was not you, do nothing.\n"
            ),
        ),
        Answer::Silent => return None,
    };
    Some(Mail {
        to: new.email.expose().to_owned(),
        subject: subject.to_owned(),
        text,
    })
}

/// `GET /sign-up/sent`
pub async fn sent(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    page::show(&SentPage {
        frame: Frame::visitor(&Browser::of(&request)),
        shows_mails: console.shows_mails,
    })
}
