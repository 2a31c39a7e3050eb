//! Signing in at the organisation's own provider: from the address to the provider, and back.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console, attempts,
    browser::Browser,
    fault::Fault,
    form::{self, Form, next},
    page::{self, Frame},
    sign_in::{self, Arrival, Shown},
    single_sign_on_words::{Refused, redeemed, refused},
};
use crate::{
    accounts::{
        email::Email,
        single_sign_on::{self, Claims, Door, SingleSignOnError, Taken, mail_domain, redirect_url},
    },
    clock::DatabaseTime,
    oidc::{Answer, Client, Identity, Request},
};

#[derive(Template)]
#[template(path = "single_sign_on.html")]
struct AddressPage {
    frame: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "single_sign_on_leading.html")]
struct LeadingPage {
    frame: Frame,
    host: String,
    url: String,
}

#[derive(Template)]
#[template(path = "single_sign_on_refused.html")]
struct RefusedPage {
    frame: Frame,
    refused: Refused,
}

/// `GET /sign-in/single-sign-on`
pub async fn show(request: HttpRequest) -> HttpResponse {
    let browser = Browser::of(&request);
    let wanted = page::query(&request, "next").unwrap_or_default();
    let mut response = page::show(&AddressPage {
        frame: Frame::visitor(&browser),
        form: Form::of(&[("next", next(&wanted))]),
    });
    browser.keep(&mut response);
    response
}

/// `POST /sign-in/single-sign-on`: `email`, `next`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let browser = Browser::of(&request);
    attempts::take(&request, &console).await?;
    let refuse = |form| {
        let frame = Frame::visitor(&browser);
        Ok(page::refuse(&AddressPage { frame, form }))
    };
    let Some(email) = form.parse("email", Email::parse) else {
        return refuse(form);
    };
    let hostname = mail_domain(&email).unwrap_or_default();
    let mut db = console.pool.acquire().await?;
    let door = match single_sign_on::door_of(&mut db, &console.keyring, &hostname, None).await {
        Err(SingleSignOnError::DomainUnproved) => {
            form.complain(
                "",
                format!(
                    "Single sign-on is not active for {hostname}: its TXT record for single sign-on was not found. Sign in with your password or a passkey, or ask an admin to look at Settings, Single sign-on."
                ),
            );
            return refuse(form);
        }
        door => door?,
    };
    let Some(door) = door else {
        form.complain(
            "",
            format!(
                "No single sign-on is set up for people of {hostname}. Sign in with your password or a passkey, or ask whoever looks after Signpost where you work."
            ),
        );
        return refuse(form);
    };
    drop(db);
    let config = match console
        .oidc
        .discover(door.issuer.as_str(), &door.issuer.configuration())
        .await
    {
        Ok(config) => config,
        Err(error) => {
            tracing::warn!(identity_provider.id = %door.provider_id, %error, "an identity provider can't be asked");
            form.complain(
                "",
                format!("The sign-in of {hostname} can't be reached at this moment. Try again shortly, or sign in with your password."),
            );
            return refuse(form);
        }
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let came_by = (&door, hostname.as_str());
    let asked = (browser.visitor(), next(form.value("next")));
    let begun = single_sign_on::begin(&mut db, &console.keyring, came_by, asked, now).await?;
    drop(db);
    let along = Request {
        state: begun.state.expose(),
        nonce: &begun.nonce,
        verifier: &begun.verifier,
        login_hint: email.expose(),
    };
    let redirect_url = redirect_url(&console.portal_url);
    let url = config.authorization_url(&client(&door, &redirect_url), &along);
    let url = url.map_err(|error| Fault::Internal(error.to_string()))?;
    Ok(page::show(&LeadingPage {
        frame: Frame::visitor(&browser),
        host: url.host_str().unwrap_or_default().to_owned(),
        url: url.into(),
    }))
}

fn client<'a>(door: &'a Door, redirect_url: &'a str) -> Client<'a> {
    Client {
        id: &door.client_id,
        secret: door.client_secret.expose(),
        redirect_url,
    }
}

/// `GET /sign-in/single-sign-on/callback`: `state`, and `code` or `error`.
pub async fn callback(request: HttpRequest, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let browser = Browser::of(&request);
    let state = page::query(&request, "state").unwrap_or_default();
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let taken = single_sign_on::take(&mut db, &console.keyring, (&state, browser.visitor()), now).await?;
    drop(db);
    let arrived = match taken {
        None => Err(Refused::late()),
        Some(taken) => arrive(&request, &console, &taken, now).await?,
    };
    let refused = match arrived {
        Ok(response) => return Ok(response),
        Err(refused) => refused,
    };
    let mut response = page::refuse(&RefusedPage {
        frame: Frame::visitor(&browser),
        refused,
    });
    browser.keep(&mut response);
    Ok(response)
}

/// Somebody who has come back. The inner error is what is said to them.
async fn arrive(
    request: &HttpRequest,
    console: &Console,
    taken: &Taken,
    now: DatabaseTime,
) -> Result<Result<HttpResponse, Refused>, Fault> {
    let mut db = console.pool.acquire().await?;
    let door = single_sign_on::door_of(&mut db, &console.keyring, &taken.hostname, Some(taken.provider_id)).await;
    drop(db);
    let door = match door {
        Err(SingleSignOnError::DomainUnproved) => return Ok(Err(Refused::unproved(&taken.hostname))),
        door => door?,
    };
    // The domain has gone to somebody else, or the provider was changed, while they signed in.
    let Some(door) = door else {
        return Ok(Err(Refused::gone(&taken.hostname)));
    };
    let identity = match ask(request, console, (&door, taken), now).await {
        Ok(identity) => identity,
        Err(refused) => return Ok(Err(refused)),
    };
    let claims = Claims {
        subject: identity.subject,
        email: identity.email,
        is_email_verified: identity.is_email_verified,
        is_domain_owner_verified: identity.is_domain_owner_verified,
        name: identity.name,
    };
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let user_id = match single_sign_on::admit(&mut tx, &console.keyring, &door, &claims, now).await {
        Ok(user_id) => user_id,
        Err(SingleSignOnError::Refused(why)) => return Ok(Err(refused(why, &door))),
        Err(error) => return Err(error.into()),
    };
    tx.commit().await?;
    let arrival = Arrival {
        user_id,
        organisation_id: Some(door.organisation_id),
        shown: Shown::SingleSignOn(door.provider_id),
        next: next(&taken.next),
    };
    let admitted = sign_in::admit(request, console, &arrival).await?;
    Ok(admitted.ok_or_else(|| Refused::gone(&taken.hostname)))
}

/// What the provider says, once it is verified. No transaction is open meanwhile.
async fn ask(
    request: &HttpRequest,
    console: &Console,
    (door, taken): (&Door, &Taken),
    now: DatabaseTime,
) -> Result<Identity, Refused> {
    let log = |error: &dyn std::error::Error| {
        tracing::warn!(identity_provider.id = %door.provider_id, %error, cause = error.source().map(tracing::field::display), "single sign-on failed");
    };
    let Some(code) = page::query(request, "code") else {
        return Err(Refused::by_provider(&page::query(request, "error").unwrap_or_default()));
    };
    let discovered = console
        .oidc
        .discover(door.issuer.as_str(), &door.issuer.configuration())
        .await;
    let config = discovered.map_err(|error| {
        log(&error);
        Refused::unreachable()
    })?;
    if !config.may_have_answered(page::query(request, "iss").as_deref()) {
        return Err(Refused::unreadable());
    }
    let redirect_url = redirect_url(&console.portal_url);
    let answer = Answer {
        code: &code,
        verifier: &taken.verifier,
        nonce: &taken.nonce,
    };
    let asked = console
        .oidc
        .redeem(&config, &client(door, &redirect_url), &answer, now.get())
        .await;
    asked.map_err(|error| {
        log(&error);
        redeemed(&error)
    })
}

impl From<SingleSignOnError> for Fault {
    fn from(error: SingleSignOnError) -> Self {
        match error {
            SingleSignOnError::NotFound => Self::NoSuchPage,
            SingleSignOnError::Database(error) => Self::Database(error),
            SingleSignOnError::Member(error) => error.into(),
            SingleSignOnError::Organisation(error) => error.into(),
            SingleSignOnError::Busy => Self::TooMany(60),
            SingleSignOnError::DomainUnproved => Self::NoSuchPage,
            other @ (SingleSignOnError::Invalid(_) | SingleSignOnError::Refused(_) | SingleSignOnError::Seal(_)) => {
                Self::Internal(other.to_string())
            }
        }
    }
}
