//! Signing out browsers: one, every other, or all.
use actix_web::{HttpRequest, HttpResponse, web};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Console, Fault, Form, Member, form, page};
use crate::{
    accounts::{known_browsers, secret_text::SecretText, sessions},
    console::browser::Browser,
};

/// `POST /settings/security/sessions`: `end` is the id of a session, `others` or `all`.
pub async fn end(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let mut tx = console.pool.begin().await?;
    let (place, is_own) = match form.value("end") {
        "others" => {
            sessions::end_all(&mut tx, &member, Some(member.session_id)).await?;
            forget_browsers(&mut tx, &member, Browser::known(&request).as_ref()).await?;
            ("/settings/security?done=sessions", false)
        }
        "all" => {
            sessions::end_all(&mut tx, &member, None).await?;
            forget_browsers(&mut tx, &member, None).await?;
            ("/sign-in?done=signed-out-everywhere", true)
        }
        one => {
            let session_id = Uuid::parse_str(one).map_err(|_| Fault::NoSuchPage)?;
            // One that is over already is what was asked for.
            sessions::end(&mut tx, &member, session_id).await?;
            match session_id == member.session_id {
                true => ("/sign-in?done=signed-out", true),
                false => ("/settings/security?done=session", false),
            }
        }
    };
    tx.commit().await?;
    let mut response = page::go_to(place);
    if is_own {
        Browser::of(&request).sign_out(&mut response);
    }
    Ok(response)
}

/// A provider's word counts for its organisation only, and the browsers are the person's own.
async fn forget_browsers(db: &mut PgConnection, member: &Member, but: Option<&SecretText>) -> Result<(), sqlx::Error> {
    match member.identity_provider_id {
        None => known_browsers::forget(db, member.user_id, but).await,
        Some(_) => Ok(()),
    }
}
