//! The link of an invitation: whoever has an account signs in with it and joins, whoever has none makes one.
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console,
    attempts::{self, origin},
    browser::Browser,
    door,
    fault::Fault,
    form::{self, Form},
    page::{self, Frame, Section},
};
use crate::{
    accounts::{
        Member,
        invitations::{self, InvitationError, Opened},
        known_browsers,
        secret_text::SecretText,
        sessions::{self, Stage},
    },
    input::Name,
    passwords::NewPassword,
};

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage {
    frame: Frame,
    form: Form,
    token: String,
    opened: Opened,
    way: Way,
}

#[derive(Template)]
#[template(path = "invitation_over.html")]
struct OverPage {
    frame: Frame,
}

/// How somebody comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is for whoever is signed in.
    Join,
    /// Somebody else is signed in.
    SignOutFirst,
    /// There is an account, and nobody is signed in.
    SignInFirst,
    /// There is none, or one whose address only a provider has vouched for.
    SignUp,
}

fn way(opened: &Opened, member: Option<&Member>) -> Way {
    match (opened.user_id, member) {
        (Some(user_id), Some(member)) if member.user_id == user_id => Way::Join,
        (_, Some(_)) => Way::SignOutFirst,
        (Some(_), None) if !opened.replaces_account_of.is_empty() => Way::SignUp,
        (Some(_), None) => Way::SignInFirst,
        (None, None) => Way::SignUp,
    }
}

fn frame(request: &HttpRequest, member: Option<&Member>) -> Frame {
    match member {
        Some(member) => Frame::member(request, member, Section::Elsewhere),
        None => Frame::visitor(&Browser::of(request)),
    }
}

fn over(request: &HttpRequest, member: Option<&Member>) -> HttpResponse {
    let frame = frame(request, member);
    page::answer(StatusCode::NOT_FOUND, &OverPage { frame })
}

/// `GET /invitations/{token}`
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let member = door::member(&request, &console).await?;
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&request, member.as_ref()));
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let opened = match invitations::open(&mut db, &console.keyring, &secret, now).await {
        Err(InvitationError::NotFound) => return Ok(over(&request, member.as_ref())),
        opened => opened?,
    };
    let browser = Browser::of(&request);
    let mut frame = frame(&request, member.as_ref());
    if member.is_none() {
        // The form's token is that of the cookie which goes out with it.
        frame = Frame::visitor(&browser);
    }
    let mut response = page::show(&InvitationPage {
        frame,
        form: Form::default(),
        token: token.into_inner(),
        way: way(&opened, member.as_ref()),
        opened,
    });
    browser.keep(&mut response);
    Ok(response)
}

/// `POST /invitations/{token}`: `name` and `password` of somebody new.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    token: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let member = door::member(&request, &console).await?;
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&request, member.as_ref()));
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let opened = match invitations::open(&mut db, &console.keyring, &secret, now).await {
        Err(InvitationError::NotFound) => {
            drop(db);
            attempts::take(&request, &console).await?;
            return Ok(over(&request, member.as_ref()));
        }
        opened => opened?,
    };
    drop(db);
    attempts::take_as(&request, &console, &secret.digest())?;
    let done = match (way(&opened, member.as_ref()), &member) {
        (Way::Join, Some(member)) => join(&request, &console, &secret, member).await,
        (Way::SignUp, None) => sign_up(&request, &console, &secret, (form, opened)).await,
        // The page says what comes first.
        _ => Ok(page::go_to(&format!("/invitations/{}", secret.expose()))),
    };
    match done {
        // Somebody was quicker.
        Err(Outcome::Over) => Ok(over(&request, member.as_ref())),
        Err(Outcome::Fault(fault)) => Err(fault),
        Ok(response) => Ok(response),
    }
}

/// Why nobody joins.
enum Outcome {
    Over,
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Outcome {
    fn from(error: E) -> Self {
        match error.into() {
            Fault::NoSuchPage => Self::Over,
            fault => Self::Fault(fault),
        }
    }
}

async fn join(
    request: &HttpRequest,
    console: &Console,
    secret: &SecretText,
    member: &Member,
) -> Result<HttpResponse, Outcome> {
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let accepted = invitations::accept(&mut tx, secret, member.user_id, now).await?;
    let session = sessions::switch(&mut tx, member, accepted.organisation_id).await?;
    tx.commit().await?;
    let mut response = page::go_to("/");
    if let Some(session) = session {
        Browser::of(request).sign_in(&mut response, &session);
    }
    Ok(response)
}

async fn sign_up(
    request: &HttpRequest,
    console: &Console,
    secret: &SecretText,
    (mut form, opened): (Form, Opened),
) -> Result<HttpResponse, Outcome> {
    let name = form.parse("name", Name::parse);
    let about = [
        form.value("name").to_owned(),
        opened.organisation.clone(),
        opened.invitation.email.expose().to_owned(),
    ];
    let about = about.each_ref().map(String::as_str);
    let password = form.parse("password", |text| NewPassword::parse(text, &about));
    let browser = Browser::of(request);
    let (Some(name), Some(password)) = (name, password) else {
        return Ok(page::refuse(&InvitationPage {
            frame: Frame::visitor(&browser),
            form,
            token: secret.expose().to_owned(),
            opened,
            way: Way::SignUp,
        }));
    };
    let hash = console.passwords.hash(password).await?;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let who = (name.as_str(), hash.as_str());
    let accepted = match invitations::accept_as_new(&mut tx, &console.keyring, secret, who, now).await {
        // An account was made meanwhile: the page says so.
        Err(InvitationError::HasAccount) => return Ok(page::go_to(&format!("/invitations/{}", secret.expose()))),
        accepted => accepted?,
    };
    let whose = (accepted.user_id, accepted.organisation_id);
    let origin = origin(request, &console.trusted_proxies);
    let session = sessions::begin(&mut tx, whose, &origin, Stage::SignedIn, now).await?;
    let known = known_browsers::remember(&mut tx, accepted.user_id, Browser::known(request).as_ref()).await?;
    tx.commit().await?;
    let mut response = page::go_to("/");
    browser.sign_in(&mut response, &session);
    browser.remember(&mut response, &known);
    Ok(response)
}
