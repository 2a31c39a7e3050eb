//! One organisation: how much there is of it, and its service stopped or resumed, with a reason.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uuid::Uuid;

use super::operator;
use crate::{
    accounts::{Member, organisations},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section},
    },
    input::Name,
    operating::{Organisation, store},
};

#[derive(Template)]
#[template(path = "operator_organisation.html")]
struct OrganisationPage {
    frame: Frame,
    organisation: Organisation,
    /// The operator's own can't be stopped here: nobody of it could sign in to resume it.
    is_own: bool,
    form: Form,
}

/// `GET /operator/organisations/{id}`
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let organisation = find(&console, &member, &id).await?;
    let notice = match page::done(&request).as_deref() {
        Some("suspended") => Some("The organisation is suspended. None of its domains is answered any more."),
        Some("resumed") => Some("The organisation is served again."),
        _ => None,
    };
    Ok(page::show(&OrganisationPage {
        frame: Frame::member(&request, &member, Section::Operator).with_notice(notice),
        is_own: organisation.id == member.organisation_id,
        organisation,
        form: Form::default(),
    }))
}

/// `POST /operator/organisations/{id}`: `act`, which is `suspend` or `resume`, and `reason`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let operator = operator(&member)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let organisation = find(&console, &member, &id).await?;
    let is_own = organisation.id == member.organisation_id;
    let (suspends, done) = match form.value("act") {
        "suspend" if is_own => return Err(Fault::Forbidden),
        "suspend" => (true, "suspended"),
        "resume" => (false, "resumed"),
        _ => return Err(Fault::NoSuchPage),
    };
    let Some(reason) = form.parse("reason", Name::parse) else {
        return Ok(page::refuse(&OrganisationPage {
            frame: Frame::member(&request, &member, Section::Operator),
            organisation,
            is_own,
            form,
        }));
    };
    let id = organisation.id;
    // Sent twice, or by two: done and written down once.
    if organisation.suspended_at.is_some() != suspends {
        let (mut tx, now) = crate::clock::begin(&console.pool).await?;
        let at = suspends.then_some(now);
        organisations::set_suspended_for(&mut tx, operator, id, at, Some(reason.as_str())).await?;
        tx.commit().await?;
    }
    Ok(page::go_to(&format!("/operator/organisations/{id}?done={done}")))
}

async fn find(console: &Console, member: &Member, id: &str) -> Result<Organisation, Fault> {
    let operator = operator(member)?;
    let id: Uuid = id.parse().map_err(|_| Fault::NoSuchPage)?;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let found = store::find_organisation(&mut db, operator, id, now).await?;
    found.ok_or(Fault::NoSuchPage)
}
