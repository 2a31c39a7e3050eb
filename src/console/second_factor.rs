//! After the right password, where a second factor is on: the code.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;

use super::{
    Console,
    attempts::{self, Limit},
    browser::Browser,
    fault::Fault,
    form::{self, Form, next},
    page::{self, Frame, moment},
    security::{failed_attempt, tell},
};
use crate::{
    accounts::{
        Member, Operator, known_browsers, people,
        second_factors::{self, Code, SecondFactorError, Taken},
        sessions::{self, Stage},
        sign_in::SignInError,
    },
    clock::DatabaseTime,
};

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactorPage {
    frame: Frame,
    form: Form,
    /// When it is removed, after a password reset.
    removal: Option<String>,
}

/// How far the browser's person has come.
enum Standing {
    Nobody,
    PasswordShown(Member),
    SignedIn,
}

async fn standing(request: &HttpRequest, db: &mut PgConnection, now: DatabaseTime) -> Result<Standing, Fault> {
    let Some(secret) = Browser::session(request) else {
        return Ok(Standing::Nobody);
    };
    let found = sessions::store::find(db, &secret, now).await?;
    Ok(match found {
        None => Standing::Nobody,
        Some(found) if found.is_authenticated => Standing::SignedIn,
        Some(found) => Standing::PasswordShown(found.member),
    })
}

/// `GET /sign-in/second-factor`
pub async fn show(request: HttpRequest, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let wanted = page::query(&request, "next").unwrap_or_default();
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    Ok(match standing(&request, &mut db, now).await? {
        Standing::Nobody => page::go_to("/sign-in"),
        Standing::SignedIn => page::go_to(next(&wanted)),
        Standing::PasswordShown(member) => page::show(&SecondFactorPage {
            frame: Frame::visitor(&Browser::of(&request)),
            form: Form::of(&[("next", next(&wanted))]),
            removal: removal(&mut db, &member).await?,
        }),
    })
}

async fn removal(db: &mut PgConnection, member: &Member) -> Result<Option<String>, Fault> {
    let summary = second_factors::store::find_summary(db, Operator::signing_in(), member.user_id).await?;
    Ok(summary.and_then(|summary| summary.removal_at).map(|at| moment(&at)))
}

/// `POST /sign-in/second-factor`: `code`, `next`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let browser = Browser::of(&request);
    let origin = attempts::take(&request, &console).await?;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let member = match standing(&request, &mut db, now).await? {
        // The page was open for too long.
        Standing::Nobody => return Ok(page::go_to("/sign-in?done=late")),
        Standing::SignedIn => return Ok(page::go_to(next(form.value("next")))),
        Standing::PasswordShown(member) => member,
    };
    let removal = removal(&mut db, &member).await?;
    let refuse = |form| {
        Ok(page::refuse(&SecondFactorPage {
            frame: Frame::visitor(&browser),
            form,
            removal,
        }))
    };
    let Some(code) = form.parse("code", Code::parse) else {
        return refuse(form);
    };
    let known = Browser::known(&request);
    let source = second_factors::source_at_sign_in(&mut db, &member, known.as_ref(), &origin).await?;
    if let Err(error) = second_factors::take_attempt(&mut db, &member, &source, now).await {
        if matches!(error, SignInError::TooMany(_)) {
            console.attempts.count_refused(Limit::Failures);
        }
        form.complain("code", failed_attempt(error, "is wrong")?);
        return refuse(form);
    }
    drop(db);
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    people::store::hold(&mut tx, Operator::signing_in(), member.user_id).await?;
    match second_factors::take(&mut tx, &console.keyring, &member, &code, now).await {
        Ok(Taken::Shown) => {}
        Ok(Taken::Recovery) => {
            let what = (
                "A recovery code was used",
                "Somebody has signed in to your Signpost account with one of its recovery codes. It does not work again.",
            );
            tell(&mut tx, &console, &member, what, now).await?;
        }
        Err(SecondFactorError::Wrong) => {
            drop(tx);
            form.complain("code", "is wrong, or was used before: wait for the next one");
            return refuse(form);
        }
        // It was turned off elsewhere since.
        Err(SecondFactorError::IsOff) => return Ok(page::go_to("/sign-in")),
        Err(error) => return Err(error.into()),
    }
    // Ended since, with all others of this person: the password has to be shown again.
    if !sessions::store::delete(&mut tx, &member, member.session_id).await? {
        return Ok(page::go_to("/sign-in?done=late"));
    }
    let session = sessions::begin(&mut tx, &member, &origin, Stage::SignedIn, now).await?;
    let known = match member.identity_provider_id {
        Some(_) => None,
        None => Some(known_browsers::remember(&mut tx, member.user_id, known.as_ref()).await?),
    };
    tx.commit().await?;
    let mut response = page::go_to(next(form.value("next")));
    browser.sign_in(&mut response, &session);
    if let Some(known) = known {
        browser.remember(&mut response, &known);
    }
    Ok(response)
}
