//! The own name.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{Console, Fault, Form, Frame, Member, Section, form, page, people, person};
use crate::input::Name;

#[derive(Template)]
#[template(path = "security_name.html")]
struct NamePage {
    frame: Frame,
    form: Form,
}

/// `GET /settings/security/name`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let person = person(&mut *console.pool.acquire().await?, &console, &member).await?;
    Ok(page::show(&NamePage {
        frame: Frame::member(&request, &member, Section::Settings),
        form: Form::of(&[("name", person.name.as_deref().unwrap_or_default())]),
    }))
}

/// `POST /settings/security/name`: `name`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    // The name is the person's in every organisation, and one provider speaks for its own organisation only.
    if member.identity_provider_id.is_some()
        && (member.memberships > 1 || people::store::has_password(&mut *console.pool.acquire().await?, &member).await?)
    {
        return Err(Fault::ProvidersWord);
    }
    let Some(name) = form.parse("name", Name::parse) else {
        return Ok(page::refuse(&NamePage {
            frame: Frame::member(&request, &member, Section::Settings),
            form,
        }));
    };
    let mut tx = console.pool.begin().await?;
    people::rename(&mut tx, &console.keyring, &member, &name.into_string()).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/security?done=name"))
}
