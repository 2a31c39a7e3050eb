//! One endpoint: its form, its switches, and what was sent there.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Choice, Standing, Typed, choices,
    deliveries::{Row, rows},
    list::SecretPage,
};
use crate::{
    accounts::{Member, Permission, Scope},
    clock::DatabaseTime,
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section, moment},
        reauthentication,
    },
    webhooks::{self, Change, Endpoint},
};

#[derive(Template)]
#[template(path = "webhook.html")]
struct EndpointPage {
    frame: Frame,
    form: Form,
    id: Uuid,
    host: String,
    standing: Standing,
    is_disabled: bool,
    choices: Vec<Choice>,
    old_until: Option<String>,
    rows: Vec<Row>,
    /// Where the list goes on.
    older: Option<Uuid>,
    is_newest: bool,
}

/// `GET /settings/webhooks/{id}`
pub async fn show(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let notice = match page::done(&request).as_deref() {
        Some("changed") => Some("The endpoint is changed."),
        Some("enable") => Some("The endpoint is on: what happens from now on is sent there."),
        Some("disable") => Some("The endpoint is disabled. What waited is given up; it can be replayed."),
        Some("test") => Some("A test is on its way. Load this page again to see what became of it."),
        Some("replay") => Some("It is sent again. Load this page again to see what became of it."),
        Some("is-disabled") => Some("Nothing was sent: the endpoint is disabled. Enable it first."),
        Some("waiting") => Some("Nothing was sent: a hundred deliveries wait for this endpoint already."),
        _ => None,
    };
    let mut db = console.pool.acquire().await?;
    let endpoint = webhooks::find(&mut db, &scope, parse(&id)?).await?;
    let frame = Frame::member(&request, &member, Section::Settings).with_notice(notice);
    let mut fields = vec![("url", &*endpoint.url), ("description", &*endpoint.description)];
    fields.extend(endpoint.events.iter().map(|kind| ("events", kind.as_str())));
    let form = Form::of(&fields);
    let before = page::query(&request, "before").and_then(|id| id.parse().ok());
    let page = draw(&mut db, &scope, (frame, form), &endpoint, before).await?;
    Ok(page::show(&page))
}

/// `POST /settings/webhooks/{id}`: `url`, `events` (several), `description`.
pub async fn change(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let endpoint = webhooks::find(&mut tx, &scope, parse(&id)?).await?;
    let Some(typed) = Typed::parse(&mut form) else {
        let frame = Frame::member(&request, &member, Section::Settings);
        return Ok(page::refuse(
            &draw(&mut tx, &scope, (frame, form), &endpoint, None).await?,
        ));
    };
    let change = Change {
        // The same one again is no change: it would be taken for an address that has not failed.
        url: Some(typed.url).filter(|url| url.as_str() != endpoint.url),
        description: Some(typed.description),
        events: Some(typed.events),
        is_disabled: None,
    };
    webhooks::update(&mut tx, &scope, endpoint.id, &change, now).await?;
    tx.commit().await?;
    Ok(page::go_to(&format!("/settings/webhooks/{}?done=changed", endpoint.id)))
}

/// `POST /settings/webhooks/{id}/enable`
pub async fn enable(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    switch(&console, &scope, &id, false).await?;
    Ok(page::go_to(&format!("/settings/webhooks/{id}?done=enable")))
}

/// `POST /settings/webhooks/{id}/disable`
pub async fn disable(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    switch(&console, &scope, &id, true).await?;
    Ok(page::go_to(&format!("/settings/webhooks/{id}?done=disable")))
}

async fn switch(console: &Console, scope: &Scope, id: &str, is_disabled: bool) -> Result<(), Fault> {
    let change = Change {
        is_disabled: Some(is_disabled),
        ..Change::default()
    };
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    webhooks::update(&mut tx, scope, parse(id)?, &change, now).await?;
    Ok(tx.commit().await?)
}

/// `POST /settings/webhooks/{id}/delete`
pub async fn delete(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let mut tx = console.pool.begin().await?;
    webhooks::delete(&mut tx, &scope, parse(&id)?).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/webhooks?done=deleted"))
}

/// `POST /settings/webhooks/{id}/rotate-secret`. The new one is shown in the answer, and never again.
pub async fn rotate(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let rotated = webhooks::rotate(&mut tx, &scope, &console.keyring, parse(&id)?, now);
    let (endpoint, secret) = rotated.await?;
    tx.commit().await?;
    Ok(page::show(&SecretPage {
        frame: Frame::member(&request, &member, Section::Settings),
        title: "The secret is new",
        id: endpoint.id,
        host: webhooks::host(&endpoint.url).to_owned(),
        secret: secret.expose(),
        old_until: endpoint.old_secret_until.as_ref().map(moment),
    }))
}

/// Whatever is no id names no endpoint.
pub(super) fn parse(id: &str) -> Result<Uuid, Fault> {
    id.parse().map_err(|_| Fault::NoSuchPage)
}

async fn draw(
    db: &mut PgConnection,
    scope: &Scope,
    (frame, form): (Frame, Form),
    endpoint: &Endpoint,
    before: Option<Uuid>,
) -> Result<EndpointPage, Fault> {
    let (rows, older) = rows(db, scope, endpoint.id, before).await?;
    let now = DatabaseTime::read(&mut *db).await?;
    let old_until = endpoint.old_secret_until.filter(|until| *until > now);
    Ok(EndpointPage {
        choices: choices(&form),
        id: endpoint.id,
        host: webhooks::host(&endpoint.url).to_owned(),
        standing: Standing::of(endpoint),
        is_disabled: endpoint.disabled.is_some(),
        old_until: old_until.as_ref().map(moment),
        is_newest: before.is_none(),
        frame,
        form,
        rows,
        older,
    })
}
