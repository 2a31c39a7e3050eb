//! Signing in with a passkey alone. The script of the sign-in page speaks to the browser and sends the form.
use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    Console, attempts,
    browser::Browser,
    fault::Fault,
    form::{self, Form, next},
    page,
    security::refusal,
    sign_in::{self, Arrival, NO_MEMBER, Shown},
};
use crate::accounts::passkeys::{self, Site};

/// `POST /sign-in/passkey/challenge`: what the script needs, as JSON.
pub async fn challenge(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    attempts::take(&request, &console).await?;
    let site = Site::of(&console.portal_url).ok_or(Fault::NoSuchPage)?;
    let browser = Browser::of(&request);
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let options = passkeys::ask_to_sign_in(&mut db, (&site, browser.visitor()), now).await?;
    Ok(page::json(options))
}

/// `POST /sign-in/passkey`: `credential`, `next`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    attempts::take(&request, &console).await?;
    let site = Site::of(&console.portal_url).ok_or(Fault::NoSuchPage)?;
    let browser = Browser::of(&request);
    let accepted = async {
        let (mut db, now) = crate::clock::acquire(&console.pool).await?;
        let shown = passkeys::answer_to_sign_in(&mut db, browser.visitor(), form.value("credential"), now).await?;
        drop(db);
        let (mut tx, now) = crate::clock::begin(&console.pool).await?;
        let accepted = passkeys::accept(&mut tx, &site, &shown, now).await?;
        tx.commit().await?;
        Ok(accepted)
    };
    let accepted = match accepted.await {
        Ok(accepted) => accepted,
        Err(error) => {
            form.complain("", refusal(error)?);
            return Ok(sign_in::refuse(&browser, &console, form));
        }
    };
    let arrival = Arrival {
        user_id: accepted.user_id,
        organisation_id: None,
        shown: Shown::Passkey(accepted.passkey_id),
        next: next(form.value("next")),
    };
    if let Some(response) = sign_in::admit(&request, &console, &arrival).await? {
        return Ok(response);
    }
    form.complain("", NO_MEMBER);
    Ok(sign_in::refuse(&browser, &console, form))
}
