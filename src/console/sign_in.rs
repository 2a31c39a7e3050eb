//! Signing in and out.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    attempts::origin,
    browser::Browser,
    fault::{Fault, span},
    form::{self, Form, next},
    page::{self, Frame},
};
use crate::accounts::{
    Operator,
    email::Email,
    people,
    sessions::{self, Stage},
    sign_in::{SignInError, with_password},
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
        Some("confirmed") => Some("Your address is confirmed. Sign in with the password that you chose."),
        Some("password") => Some("The new password is set, and you are signed out everywhere. Sign in with it."),
        Some("left") => Some("You have left the organisation, and are signed out."),
        Some("deleted") => Some("The organisation is deleted, and you are signed out."),
        Some("signed-out") => Some("You are signed out."),
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
    let (browser, origin, now) = (
        Browser::of(&request),
        origin(&request, &console.trusted_proxies),
        crate::clock::now(),
    );
    console.attempts.take(&origin)?;
    let refuse = |form: Form| {
        Ok(page::refuse(&SignInPage {
            frame: Frame::visitor(&browser),
            form,
            may_register: console.may_register,
        }))
    };
    let Some(email) = form.parse("email", Email::parse) else {
        return refuse(form);
    };
    let given = (&email, form.value("password").to_owned());
    let user_id = match with_password(&console.pool, &console.keyring, &console.passwords, given, now).await {
        Ok(user_id) => user_id,
        Err(SignInError::Wrong) => {
            form.complain("", "This address and this password don't belong together.");
            return refuse(form);
        }
        Err(SignInError::TooMany(wait)) => {
            let wait = span(u64::try_from(wait.num_seconds()).unwrap_or(1) + 1);
            form.complain(
                "",
                format!("There were too many failed attempts for this address. Try again in {wait}."),
            );
            return refuse(form);
        }
        Err(SignInError::Busy(busy)) => return Err(busy.into()),
        Err(SignInError::Organisation(error)) => return Err(error.into()),
        Err(SignInError::Database(error)) => return Err(error.into()),
    };
    let mut tx = console.pool.begin().await?;
    let memberships = people::store::list_memberships(&mut tx, Operator::signing_in(), user_id).await?;
    let Some((organisation_id, _)) = memberships.into_iter().next() else {
        form.complain(
            "",
            "You are no member of any organisation any more. Ask for an invitation.",
        );
        return refuse(form);
    };
    end_session(&request, &mut tx).await?;
    let session = sessions::begin(&mut tx, (user_id, organisation_id), &origin, Stage::SignedIn, now).await?;
    tx.commit().await?;
    let mut response = page::go_to(next(form.value("next")));
    browser.sign_in(&mut response, &session);
    Ok(response)
}

/// The session that this browser had is no more.
async fn end_session(request: &HttpRequest, db: &mut sqlx::PgConnection) -> Result<(), Fault> {
    if let Some(secret) = Browser::session(request)
        && let Some(found) = sessions::store::find(db, &secret, crate::clock::now()).await?
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
    end_session(&request, &mut *console.pool.acquire().await?).await?;
    let mut response = page::go_to("/sign-in?done=signed-out");
    Browser::of(&request).sign_out(&mut response);
    Ok(response)
}
