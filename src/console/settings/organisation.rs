//! An organisation's name, how long it keeps what, and its end.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::read;
use crate::{
    accounts::{
        Member, Permission,
        organisations::settings::{self, DeletionError, OrganisationSettings, Retention},
        role::Role,
    },
    console::{
        Console,
        browser::Browser,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        reauthentication,
    },
    input::Name,
};

#[derive(Template)]
#[template(path = "settings/organisation.html")]
struct OrganisationPage {
    frame: Frame,
    name: String,
    form: Form,
    deletion: Form,
    is_owner: bool,
}

impl OrganisationPage {
    fn new(request: &HttpRequest, member: &Member, (form, deletion): (Form, Form)) -> Self {
        Self {
            frame: Frame::member(request, member, Section::Settings),
            name: member.organisation_name.clone(),
            form,
            deletion,
            is_owner: member.role == Role::Owner,
        }
    }
}

impl From<DeletionError> for Fault {
    fn from(error: DeletionError) -> Self {
        match error {
            DeletionError::OwnersOnly => Self::Forbidden,
            DeletionError::Member(error) => error.into(),
            DeletionError::Organisation(error) => error.into(),
            other @ (DeletionError::OtherName | DeletionError::NotEmpty) => Self::Internal(other.to_string()),
        }
    }
}

fn stored(settings: &OrganisationSettings) -> Form {
    Form::of(&[
        ("name", settings.name.as_str()),
        ("request_days", &settings.retention.request_days().to_string()),
        ("audit_days", &settings.retention.audit_days().to_string()),
    ])
}

/// `GET /settings/organisation`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let settings = settings::find(&mut *console.pool.acquire().await?, &scope).await?;
    let notice = match page::done(&request).as_deref() {
        Some("saved") => Some("Saved."),
        _ => None,
    };
    let page = OrganisationPage::new(&request, &member, (stored(&settings), Form::default()));
    Ok(page::show(&OrganisationPage {
        frame: page.frame.with_notice(notice),
        ..page
    }))
}

/// `POST /settings/organisation`: `name`, `request_days`, `audit_days`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let name = form.parse("name", Name::parse);
    let request_days = form.parse("request_days", Retention::parse_request_days);
    let audit_days = form.parse("audit_days", Retention::parse_audit_days);
    let (Some(name), Some(request_days), Some(audit_days)) = (name, request_days, audit_days) else {
        let page = OrganisationPage::new(&request, &member, (form, Form::default()));
        return Ok(page::refuse(&page));
    };
    let wanted = OrganisationSettings {
        name,
        retention: Retention::of(request_days, audit_days),
    };
    let mut tx = console.pool.begin().await?;
    settings::update(&mut tx, &scope, &wanted).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/organisation?done=saved"))
}

/// `POST /settings/organisation/delete`: `confirm`, the name.
pub async fn delete(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    let mut tx = console.pool.begin().await?;
    match settings::delete(&mut tx, &scope, form.value("confirm")).await {
        Ok(()) => {
            tx.commit().await?;
            let mut response = page::go_to("/sign-in?done=deleted");
            Browser::of(&request).sign_out(&mut response);
            return Ok(response);
        }
        Err(DeletionError::OtherName) => form.complain("confirm", "is not the organisation's name"),
        Err(DeletionError::NotEmpty) => form.complain(
            "",
            "There are still domains or MDM servers. Delete them first: nothing that devices ask for is to end by a slip.",
        ),
        Err(error) => return Err(error.into()),
    }
    drop(tx);
    let settings = settings::find(&mut *console.pool.acquire().await?, &scope).await?;
    let page = OrganisationPage::new(&request, &member, (stored(&settings), form));
    Ok(page::refuse(&page))
}
