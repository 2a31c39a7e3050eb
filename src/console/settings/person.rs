//! What a person does for themselves: look at another of their organisations, or leave one.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uuid::Uuid;

use super::read;
use crate::{
    accounts::{
        Member, Operator,
        members::{self, MemberError},
        people, sessions,
    },
    console::{
        Console,
        browser::Browser,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
    },
};

#[derive(Template)]
#[template(path = "settings/switch.html")]
struct SwitchPage {
    frame: Frame,
    own: Uuid,
    organisations: Vec<(Uuid, String)>,
}

#[derive(Template)]
#[template(path = "settings/leave.html")]
struct LeavePage {
    frame: Frame,
    organisation: String,
    has_others: bool,
    form: Form,
}

/// `GET /settings/switch`
pub async fn show_switch(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
) -> Result<HttpResponse, Fault> {
    let mut db = console.pool.acquire().await?;
    let mut organisations = people::store::list_memberships(&mut db, Operator::signing_in(), member.user_id).await?;
    if member.identity_provider_id.is_some() {
        // Whoever runs this organisation's provider is not to learn of others.
        organisations.retain(|(id, _)| *id == member.organisation_id);
    }
    Ok(page::show(&SwitchPage {
        frame: Frame::member(&request, &member, Section::Settings),
        own: member.organisation_id,
        organisations,
    }))
}

/// `POST /settings/switch`: `organisation_id`.
pub async fn switch(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let form = read(&request, payload).await?;
    let wanted: Uuid = form.value("organisation_id").parse().map_err(|_| Fault::NoSuchPage)?;
    let mut tx = console.pool.begin().await?;
    let session = sessions::switch(&mut tx, &member, wanted).await?;
    let session = session.ok_or(Fault::NoSuchPage)?;
    tx.commit().await?;
    let mut response = page::go_to("/");
    Browser::of(&request).sign_in(&mut response, &session);
    Ok(response)
}

/// `GET /settings/leave`
pub async fn show_leave(request: HttpRequest, member: Member) -> HttpResponse {
    page::show(&leave_page(&request, &member, Form::default()))
}

fn leave_page(request: &HttpRequest, member: &Member, form: Form) -> LeavePage {
    LeavePage {
        frame: Frame::member(request, member, Section::Settings),
        organisation: member.organisation_name.clone(),
        has_others: member.memberships > 1,
        form,
    }
}

/// `POST /settings/leave`
pub async fn leave(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let mut tx = console.pool.begin().await?;
    match members::leave(&mut tx, &member).await {
        Err(MemberError::LastOwner) => {
            form.complain(
                "",
                "You are the only owner. Make somebody else an owner first, or delete the organisation.",
            );
            return Ok(page::refuse(&leave_page(&request, &member, form)));
        }
        left => left?,
    }
    tx.commit().await?;
    let mut response = page::go_to("/sign-in?done=left");
    Browser::of(&request).sign_out(&mut response);
    Ok(response)
}
