//! One client: its domains, its MDM servers, what it is called; and its end.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    client_list::{complain, may_change, names},
    delete::DeletePage,
    domain_list::Shown,
    mdm,
};
use crate::{
    accounts::{
        Member, Permission, Scope,
        clients::{self, Client, ClientError},
    },
    clock::DatabaseTime,
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section},
        plots::{self, Plots},
    },
    domains::{
        lists::{self, Question},
        servers,
    },
    input::Name,
};

/// Domains of a client on its own page; the others are in the list.
const SHOWN: usize = 20;
/// More than any client has.
const SERVERS: i64 = 100;

#[derive(Template)]
#[template(path = "client.html")]
struct ClientPage {
    frame: Frame,
    form: Form,
    client: Client,
    lines: Vec<Shown>,
    has_more: bool,
    servers: Vec<ServerLine>,
    may_write: bool,
    may_change: bool,
    /// None: this role does not see requests.
    plots: Option<Plots>,
}

struct ServerLine {
    id: Uuid,
    name: String,
    vendor: &'static str,
    told: String,
    domains: i64,
}

/// `GET /clients/{id}`
pub async fn show(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let mut db = console.pool.acquire().await?;
    let client = find(&mut db, &scope, &id).await?;
    let mut form = Form::default();
    form.set("name", &client.name);
    form.set("external_ref", client.external_ref.as_deref().unwrap_or_default());
    let page = draw(&request, &member, (&console, &mut db), client, form).await?;
    Ok(page::show(&page))
}

async fn draw(
    request: &HttpRequest,
    member: &Member,
    (console, db): (&Console, &mut PgConnection),
    client: Client,
    form: Form,
) -> Result<ClientPage, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let (expected, now) = (&console.checker.expected, DatabaseTime::read(&mut *db).await?);
    let question = Question {
        client_id: Some(client.id),
        ..Question::default()
    };
    let page = lists::list(&mut *db, &scope, &question, expected, (SHOWN, now.get())).await?;
    let shown = Shown::of(&mut *db, member, page.lines, (expected, now.get())).await?;
    let counts = servers::store::count_domains(&mut *db, &scope, client.id).await?;
    let mut lines = Vec::new();
    for stored in servers::store::list(&mut *db, &scope, Some(client.id), None, SERVERS).await? {
        let server = stored.configure()?;
        let count = counts.iter().find(|(id, _)| *id == server.id);
        lines.push(ServerLine {
            id: server.id,
            vendor: server.server.vendor().name(),
            told: mdm::summary(&server.server),
            name: server.name,
            domains: count.map_or(0, |(_, count)| *count),
        });
    }
    let plots = match member.scope(Permission::RequestsRead) {
        Ok(scope) => Some(plots::of_client(db, &scope, client.id, now).await?),
        Err(_) => None,
    };
    let notice = match page::done(request).as_deref() {
        Some("added") => Some("The client is there. Add its domains next."),
        Some("changed") => Some("The change is kept."),
        Some("server-added") => Some("The MDM server is there. Domains of this client can send devices to it."),
        Some("server-deleted") => Some("The MDM server is deleted."),
        _ => None,
    };
    Ok(ClientPage {
        frame: Frame::member(request, member, Section::Clients).with_notice(notice),
        form,
        client,
        has_more: page.next.is_some(),
        lines: shown,
        servers: lines,
        may_write: member.scope(Permission::DomainsWrite).is_ok(),
        may_change: may_change(member),
        plots,
    })
}

/// `POST /clients/{id}`: `name`, `external_ref`.
pub async fn change(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let client = find(&mut *console.pool.acquire().await?, &scope, &id).await?;
    if let Some((name, external_ref)) = names(&mut form) {
        let mut tx = console.pool.begin().await?;
        clients::store::lock(&mut tx, &scope, client.id).await?;
        let changed = Client {
            name: name.into_string(),
            external_ref: external_ref.map(Name::into_string),
            ..find(&mut tx, &scope, &id).await?
        };
        match clients::update(&mut tx, &scope, &changed).await {
            Ok(()) => {
                tx.commit().await?;
                return Ok(page::go_to(&format!("/clients/{}?done=changed", client.id)));
            }
            Err(error) => complain(&mut form, error)?,
        }
    }
    let mut db = console.pool.acquire().await?;
    let page = draw(&request, &member, (&console, &mut db), client, form).await?;
    Ok(page::refuse(&page))
}

/// `GET /clients/{id}/delete`
pub async fn show_delete(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    id: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut db = console.pool.acquire().await?;
    let client = find(&mut db, &scope, &id).await?;
    if !may_change(&member) {
        return Err(Fault::Forbidden);
    }
    let servers = servers::store::list(&mut db, &scope, Some(client.id), None, 1).await?;
    let is_empty = client.domain_count == 0 && servers.is_empty();
    Ok(page::show(&deleting(&request, &member, client, is_empty)))
}

/// `POST /clients/{id}/delete`
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
    let client = find(&mut tx, &scope, &id).await?;
    match clients::delete(&mut tx, &scope, &client).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(page::go_to("/clients?done=deleted"))
        }
        Err(ClientError::NotEmpty) => Ok(page::refuse(&deleting(&request, &member, client, false))),
        Err(error) => Err(error.into()),
    }
}

fn deleting(request: &HttpRequest, member: &Member, client: Client, is_empty: bool) -> DeletePage {
    let reason =
        "It still has domains or MDM servers. Delete them first: then nothing that devices ask for goes by accident.";
    DeletePage {
        frame: Frame::member(request, member, Section::Clients),
        back: format!("/clients/{}", client.id),
        consequence: "Its name and its reference are forgotten. What was done with it stays in the audit log.",
        reason: (!is_empty).then(|| reason.to_owned()),
        what: "client",
        name: client.name,
    }
}

pub async fn find(db: &mut PgConnection, scope: &Scope, id: &str) -> Result<Client, Fault> {
    let id = id.parse().map_err(|_| Fault::NoSuchPage)?;
    clients::store::find(db, scope, id).await?.ok_or(Fault::NoSuchPage)
}
