//! Signing up: an organisation and its first person. Nothing exists before the address is confirmed.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    attempts::{self, Limit},
    browser::Browser,
    fault::Fault,
    form::{self, Form},
    page::{self, Frame},
};
use crate::{
    accounts::{
        email::Email,
        registrations::{self, Answer, NewRegistration, RegistrationError, SignUpBrowser},
        unproved_accounts,
    },
    input::{Name, unlinkable},
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
            RegistrationError::Member(error) => error.into(),
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
    let origin = attempts::take(&request, &console).await?;
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
    let signs_up_in = SignUpBrowser {
        secret: browser.visitor(),
        network: origin.network.as_deref(),
    };
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let answer = registrations::begin(&mut tx, &console.keyring, &new, signs_up_in, now).await?;
    let digest = new.email.digest(&mut tx, &console.keyring).await?;
    let replaced = unproved_accounts::organisations(&mut tx, &digest).await?;
    let replacing = unproved_accounts::mail_paragraph(&console.portal_url, &replaced);
    match mail(&console.portal_url, &new, &answer, &replacing) {
        Some(mail) => outbox::post(&mut tx, &console.keyring, None, &mail, now).await?,
        None => console.attempts.count_refused(Limit::Mails),
    }
    tx.commit().await?;
    Ok(page::go_to("/sign-up/sent"))
}

/// A stranger may have typed the names, and the reader may know nothing of it: the mail says who signed up as what, and
/// nothing in it that was typed becomes a link or another line.
/// `replacing` is said of an account that the link replaces.
fn mail(portal: &str, new: &NewRegistration, answer: &Answer, replacing: &str) -> Option<Mail> {
    let typed = format!(
        "    Organisation: {}\n    Name: {}",
        unlinkable(&new.organisation),
        unlinkable(&new.name)
    );
    let (subject, text) = match answer {
        Answer::Confirm(secret) => (
            "Confirm your address",
            format!(
                "Someone signed up to Signpost with this address, as:\n\n{typed}\n\nIf this was you, open this link to confirm it. It works for 24 hours:\n\n{portal}/sign-up/confirm/{}\n\nIf you open it in another browser than the one you signed up in, you choose your password there.\n\n{replacing}If this wasn't you, ignore this e-mail: no account is created. Nobody can use your address without this link.\n",
                secret.expose()
            ),
        ),
        Answer::Known => (
            "You have an account already",
            format!(
                "Someone tried to sign up to Signpost with this address, as:\n\n{typed}\n\nThe address has an account already, so nothing was changed.\n\nSign in: {portal}/sign-in\nForgotten your password? {portal}/password/forgotten\n\nIf this wasn't you, ignore this e-mail.\n"
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
