//! One MDM server: what it is, a change of it (of many domains at once), its end.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;

use super::{
    client,
    delete::DeletePage,
    mdm::{self, Step, VendorPart},
    words,
};
use crate::{
    accounts::{Member, Permission, Scope, clients::Client},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section},
    },
    domains::{
        DomainError,
        intake::IntakeError,
        servers::{self, MdmServer, store},
    },
    input::Name,
    vendors::{self, Vendor},
};

#[derive(Template)]
#[template(path = "server.html")]
struct ServerPage {
    frame: Frame,
    form: Form,
    server: MdmServer,
    client: Client,
    vendor: VendorPart,
    /// How many domains send devices there.
    domains: i64,
    /// Where devices are sent.
    address: String,
    note: Option<String>,
    may_write: bool,
}

/// Some(None): the vendor's own name will do.
pub fn name(form: &mut Form) -> Option<Option<Name>> {
    form.parse("name", |text| match text.trim().is_empty() {
        true => Ok(None),
        false => Name::parse(text).map(Some),
    })
}

/// The server that the fields describe, unless something is wrong with them.
pub fn configured(form: &mut Form, vendor: &str) -> Result<Option<vendors::Server>, Fault> {
    match mdm::server_input(form, vendor).configure() {
        Ok(server) => Ok(Some(server)),
        Err(errors) => {
            let errors = errors.into_iter().map(|error| error.within("/server")).collect();
            mdm::complain(form, IntakeError::Invalid(errors))?;
            Ok(None)
        }
    }
}

/// `GET /servers/{id}`
pub async fn show(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let mut db = console.pool.acquire().await?;
    let server = find(&mut db, &scope, &id).await?;
    let mut form = Form::default();
    mdm::fill_in(&mut form, &server.server);
    form.set("name", &server.name);
    let notice = match page::done(&request).as_deref() {
        Some("changed") => Some("The change is kept, and in force."),
        _ => None,
    };
    let frame = Frame::member(&request, &member, Section::Clients).with_notice(notice);
    Ok(page::show(&draw(frame, form, (&mut db, &scope), server).await?))
}

async fn draw(
    frame: Frame,
    form: Form,
    (db, scope): (&mut PgConnection, &Scope),
    server: MdmServer,
) -> Result<ServerPage, Fault> {
    let client = client::find(&mut *db, scope, &server.client_id.to_string()).await?;
    let may_write = frame
        .member
        .as_ref()
        .is_some_and(|member| member.scope(Permission::DomainsWrite).is_ok());
    Ok(ServerPage {
        frame,
        form,
        vendor: VendorPart::new(server.server.vendor()),
        domains: count(db, scope, &server).await?,
        address: match server.server.answer() {
            vendors::Answer::Document { base_url, .. } => base_url.clone(),
            vendors::Answer::Redirect { url } => url.clone(),
        },
        server,
        client,
        note: None,
        may_write,
    })
}

async fn count(db: &mut PgConnection, scope: &Scope, server: &MdmServer) -> Result<i64, Fault> {
    let counts = store::count_domains(db, scope, server.client_id).await?;
    let found = counts.into_iter().find(|(id, _)| *id == server.id);
    Ok(found.map_or(0, |(_, count)| count))
}

/// `POST /servers/{id}`: `name`, `p_…`, `enrollment`, `document`; `step`. The vendor stays: another's is another server.
pub async fn change(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let server = find(&mut *console.pool.acquire().await?, &scope, &id).await?;
    let mut note = None;
    if Step::of(&form) == Step::Recognise {
        note = recognise_again(&mut form, server.server.vendor());
    } else {
        let (name, changed) = (name(&mut form), configured(&mut form, server.server.vendor().key())?);
        if let (Some(name), Some(changed)) = (name, changed) {
            let mut tx = console.pool.begin().await?;
            store::lock_server(&mut tx, &scope, server.id).await?;
            let before = find(&mut tx, &scope, &id).await?;
            servers::update(&mut tx, &scope, &before, name, Some(changed)).await?;
            tx.commit().await?;
            return Ok(page::go_to(&format!("/servers/{}?done=changed", server.id)));
        }
    }
    let is_fine = form.is_fine();
    let frame = Frame::member(&request, &member, Section::Clients);
    let mut db = console.pool.acquire().await?;
    let page = ServerPage {
        note,
        ..draw(frame, form, (&mut db, &scope), server).await?
    };
    Ok(match is_fine {
        true => page::show(&page),
        false => page::refuse(&page),
    })
}

/// What a document of the same vendor says; another vendor's is another server.
fn recognise_again(form: &mut Form, vendor: Vendor) -> Option<String> {
    let server = form.parse("document", vendors::recognise)?;
    if server.vendor() != vendor {
        let other = server.vendor().name();
        form.complain(
            "document",
            format!(
                "This document is of {other}. Add that as another MDM server of the client, and send the domains there."
            ),
        );
        return None;
    }
    mdm::fill_in(form, &server);
    Some("What the document says is filled in below.".to_owned())
}

/// `GET /servers/{id}/delete`
pub async fn show_delete(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut db = console.pool.acquire().await?;
    let server = find(&mut db, &scope, &id).await?;
    let domains = count(&mut db, &scope, &server).await?;
    Ok(page::show(&deleting(&request, &member, server, domains)))
}

/// `POST /servers/{id}/delete`
pub async fn delete(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let mut tx = console.pool.begin().await?;
    let server = find(&mut tx, &scope, &id).await?;
    match servers::delete(&mut tx, &scope, &server).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(page::go_to(&format!(
                "/clients/{}?done=server-deleted",
                server.client_id
            )))
        }
        Err(DomainError::ServerInUse) => {
            drop(tx);
            let domains = count(&mut *console.pool.acquire().await?, &scope, &server).await?;
            Ok(page::refuse(&deleting(&request, &member, server, domains.max(1))))
        }
        Err(error) => Err(error.into()),
    }
}

fn deleting(request: &HttpRequest, member: &Member, server: MdmServer, domains: i64) -> DeletePage {
    let reason = format!(
        "{} still {} devices there. Send them elsewhere first, on each domain's page.",
        words::count(domains, "domain", "domains"),
        if domains == 1 { "sends" } else { "send" }
    );
    DeletePage {
        frame: Frame::member(request, member, Section::Clients),
        back: format!("/servers/{}", server.id),
        consequence: "No domain sends devices there.",
        reason: (domains > 0).then_some(reason),
        what: "MDM server",
        name: server.name,
    }
}

async fn find(db: &mut PgConnection, scope: &Scope, id: &str) -> Result<MdmServer, Fault> {
    let id = id.parse().map_err(|_| Fault::NoSuchPage)?;
    let stored = store::find(db, scope, id).await?.ok_or(Fault::NoSuchPage)?;
    Ok(stored.configure()?)
}
