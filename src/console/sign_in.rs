//! Signing in and out.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uuid::Uuid;

use super::{
    Console,
    attempts::{self, Limit, origin},
    browser::Browser,
    fault::{Fault, span},
    form::{self, Form, next},
    page::{self, Frame},
};
use crate::{
    accounts::{
        Operator,
        email::Email,
        known_browsers, passkeys, people, second_factors,
        sessions::{self, Stage, Whose},
        sign_in::{Attempt, Right, SignInError, with_password},
    },
    clock::DatabaseTime,
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    form: Form,
    may_register: bool,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOutPage {
    frame: Frame,
}

/// `GET /sign-in`
pub async fn show(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    let browser = Browser::of(&request);
    let wanted = page::query(&request, "next").unwrap_or_default();
    let notice = match page::done(&request).as_deref() {
        Some("password") => Some("The new password is set, and you are signed out everywhere. Sign in with it."),
        Some("left") => Some("You have left the organisation, and are signed out."),
        Some("deleted") => Some("The organisation is deleted, and you are signed out."),
        Some("signed-out") => Some("You are signed out."),
        Some("signed-out-everywhere") => Some("You are signed out everywhere."),
        Some("late") => Some("That took a while. Start again with your password."),
        _ => None,
    };
    let mut response = page::show(&SignInPage {
        frame: Frame::visitor(&browser).with_notice(notice),
        form: Form::of(&[("next", next(&wanted))]),
        may_register: console.may_register,
    });
    browser.keep(&mut response);
    response
}

/// `POST /sign-in`: `email`, `password`, `next`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let browser = Browser::of(&request);
    let origin = attempts::take(&request, &console).await?;
    let refuse = |form: Form| Ok(refuse(&browser, &console, form));
    let Some(email) = form.parse("email", Email::parse) else {
        return refuse(form);
    };
    let known = Browser::known(&request);
    let attempt = Attempt {
        email: &email,
        password: form.value("password").to_owned(),
        browser: known.as_ref(),
        network: origin.network.as_deref(),
    };
    let right = match with_password(&console.pool, &console.keyring, &console.passwords, attempt).await {
        Ok(right) => right,
        Err(SignInError::Wrong) => {
            form.complain("", "This address and this password don't belong together.");
            return refuse(form);
        }
        Err(SignInError::TooMany(wait)) => {
            console.attempts.count_refused(Limit::Failures);
            let wait = span(u64::try_from(wait.num_seconds()).unwrap_or(1) + 1);
            form.complain(
                "",
                format!(
                    "Too many attempts for this address from here: try again in {wait}. To sign in now, set a new password: choose “Forgotten password?”."
                ),
            );
            return refuse(form);
        }
        Err(SignInError::Busy(busy)) => return Err(busy.into()),
        Err(SignInError::Organisation(error)) => return Err(error.into()),
        Err(SignInError::Database(error)) => return Err(error.into()),
    };
    let arrival = Arrival {
        user_id: right.user_id,
        organisation_id: None,
        shown: Shown::Password(&right),
        next: next(form.value("next")),
    };
    if let Some(response) = admit(&request, &console, &arrival).await? {
        return Ok(response);
    }
    form.complain("", NO_MEMBER);
    refuse(form)
}

/// The page again, with what was typed.
pub(super) fn refuse(browser: &Browser, console: &Console, form: Form) -> HttpResponse {
    page::refuse(&SignInPage {
        frame: Frame::visitor(browser),
        form,
        may_register: console.may_register,
    })
}

pub(super) const NO_MEMBER: &str = "You are no member of any organisation any more. Ask for an invitation.";

/// What somebody has shown at the door.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    Password(&'a Right),
    /// Two factors at once: the device, and what it asked its owner for.
    Passkey(Uuid),
    /// The word of this provider, which counts for its organisation.
    SingleSignOn(Uuid),
}

/// Somebody who has shown who it is.
pub(super) struct Arrival<'a> {
    pub user_id: Uuid,
    /// `None`: the first of the person's own.
    pub organisation_id: Option<Uuid>,
    pub shown: Shown<'a>,
    /// A path of ours.
    pub next: &'a str,
}

/// Signs somebody in, or asks for the second factor. `None`: this person is no member of any organisation.
pub(super) async fn admit(
    request: &HttpRequest,
    console: &Console,
    arrival: &Arrival<'_>,
) -> Result<Option<HttpResponse>, Fault> {
    let (operator, user_id) = (Operator::signing_in(), arrival.user_id);
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    // Whoever changes how this person signs in ends sessions, and must not miss the one that begins here.
    let stays = match arrival.shown {
        Shown::Password(right) => right.still_holds(&mut tx).await?,
        Shown::Passkey(passkey_id) => {
            people::store::hold(&mut tx, operator, user_id).await?;
            passkeys::store::exists(&mut tx, operator, passkey_id).await?
        }
        Shown::SingleSignOn(_) => people::store::hold(&mut tx, operator, user_id).await?.is_some(),
    };
    if !stays {
        return Ok(Some(page::go_to("/sign-in?done=late")));
    }
    let memberships = people::store::list_memberships(&mut tx, operator, user_id).await?;
    let is_wanted = |id: Uuid| arrival.organisation_id.is_none_or(|wanted| wanted == id);
    let Some((organisation_id, _)) = memberships.into_iter().find(|(id, _)| is_wanted(*id)) else {
        return Ok(None);
    };
    let stage = match arrival.shown {
        Shown::Password(_) | Shown::SingleSignOn(_) => second_factors::stage(&mut tx, operator, user_id).await?,
        Shown::Passkey(_) => Stage::SignedIn,
    };
    end_session(request, &mut tx, now).await?;
    let origin = origin(request, &console.trusted_proxies);
    let whose = Whose {
        user_id,
        organisation_id,
        identity_provider_id: match arrival.shown {
            Shown::SingleSignOn(id) => Some(id),
            Shown::Password(_) | Shown::Passkey(_) => None,
        },
    };
    let session = match sessions::begin(&mut tx, whose, &origin, stage, now).await {
        // The provider was deleted, or replaced by another one, at this very moment: its word counts no more.
        Err(error) if is_without_provider(&error) => return Ok(Some(page::go_to("/sign-in?done=late"))),
        begun => begun?,
    };
    // A provider's administrators can sign in as its people: their browsers are not the person's.
    let known = match (stage, arrival.shown) {
        (Stage::SecondFactorDue, _) | (Stage::SignedIn, Shown::SingleSignOn(_)) => None,
        (Stage::SignedIn, Shown::Password(_) | Shown::Passkey(_)) => {
            Some(known_browsers::remember(&mut tx, user_id, Browser::known(request).as_ref()).await?)
        }
    };
    tx.commit().await?;
    let mut response = match stage {
        Stage::SignedIn => page::go_to(arrival.next),
        Stage::SecondFactorDue => {
            let next: String = url::form_urlencoded::byte_serialize(arrival.next.as_bytes()).collect();
            page::go_to(&format!("/sign-in/second-factor?next={next}"))
        }
    };
    let browser = Browser::of(request);
    browser.sign_in(&mut response, &session);
    if let Some(known) = known {
        browser.remember(&mut response, &known);
    }
    Ok(Some(response))
}

fn is_without_provider(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    constraint == Some("sessions_identity_provider_fkey")
}

/// The session that this browser had is no more.
async fn end_session(request: &HttpRequest, db: &mut sqlx::PgConnection, now: DatabaseTime) -> Result<(), Fault> {
    if let Some(secret) = Browser::session(request)
        && let Some(found) = sessions::store::find(db, &secret, now).await?
    {
        sessions::store::delete(db, &found.member, found.member.session_id).await?;
    }
    Ok(())
}

/// `GET /sign-out`
pub async fn show_sign_out(request: HttpRequest) -> HttpResponse {
    page::show(&SignOutPage {
        frame: Frame::visitor(&Browser::of(&request)),
    })
}

/// `POST /sign-out`
pub async fn sign_out(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    end_session(&request, &mut db, now).await?;
    drop(db);
    let mut response = page::go_to("/sign-in?done=signed-out");
    Browser::of(&request).sign_out(&mut response);
    Ok(response)
}
