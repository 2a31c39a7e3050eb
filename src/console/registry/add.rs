//! Adding a domain: the first one on a page of few words, others on one that asks for everything.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    mdm::{self, Choice, Chosen, MdmPart, Step},
    words,
};
use crate::{
    accounts::{Member, Permission, Scope, clients},
    console::{
        Console, attempts,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section},
    },
    domains::{
        Connection, DomainError,
        intake::{DomainInput, ServerInput},
        servers::{self, MdmServer, StoredServer},
    },
    input::Name,
    vendors::Vendor,
};

/// Clients that are offered by name; whoever has more types it.
const OFFERED: i64 = 200;

#[derive(Template)]
#[template(path = "domain_new.html")]
struct AddPage {
    frame: Frame,
    form: Form,
    mdm: MdmPart,
    clients: Vec<String>,
    /// Whoever is limited to one client can name no other.
    is_client_fixed: bool,
    connections: Vec<Choice>,
    is_first: bool,
    action: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    First,
    Another,
}

/// `GET /welcome`
pub async fn show_first(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
) -> Result<HttpResponse, Fault> {
    let Ok(scope) = member.scope(Permission::DomainsWrite) else {
        return Ok(page::go_to("/"));
    };
    let mut db = console.pool.acquire().await?;
    let page = blank(&request, &member, Kind::First, (&mut db, &scope)).await?;
    Ok(page::show(&page))
}

/// `GET /domains/new`: `client` an id, `vendor` a key.
pub async fn show(request: HttpRequest, member: Member, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut db = console.pool.acquire().await?;
    let page = blank(&request, &member, Kind::Another, (&mut db, &scope)).await?;
    Ok(page::show(&page))
}

async fn blank(
    request: &HttpRequest,
    member: &Member,
    kind: Kind,
    (db, scope): (&mut PgConnection, &Scope),
) -> Result<AddPage, Fault> {
    let mut form = Form::default();
    let wanted = page::query(request, "client").and_then(|text| text.parse::<Uuid>().ok());
    if let Some(id) = scope.client_id().or(wanted) {
        let client = clients::store::find(&mut *db, scope, id)
            .await?
            .ok_or(Fault::NoSuchPage)?;
        form.set("client", client.name);
    }
    let vendor = page::query(request, "vendor").filter(|key| Vendor::from_key(key).is_some());
    form.set("mdm", vendor.unwrap_or_default());
    let frame = Frame::member(request, member, section(kind));
    let mut page = draw(frame, form, kind, (&mut *db, scope)).await?;
    // What the client has already is the likeliest.
    if let (Some(own), "") = (page.mdm.own.first(), page.form.value("mdm")) {
        page.mdm.chosen = own.value.clone();
    }
    Ok(page)
}

fn section(kind: Kind) -> Section {
    match kind {
        Kind::First => Section::Overview,
        Kind::Another => Section::Domains,
    }
}

async fn draw(
    frame: Frame,
    form: Form,
    kind: Kind,
    (db, scope): (&mut PgConnection, &Scope),
) -> Result<AddPage, Fault> {
    let own = servers_of(&mut *db, scope, form.value("client")).await?;
    let clients = clients::store::search(db, scope, "", "", OFFERED).await?.clients;
    let connections = Connection::ALL.map(|connection| Choice {
        value: connection.as_str().to_owned(),
        label: words::connection(connection).to_owned(),
    });
    Ok(AddPage {
        frame,
        mdm: MdmPart::new(&form, &own, "hostname"),
        clients: clients.into_iter().map(|client| client.name).collect(),
        is_client_fixed: scope.client_id().is_some(),
        connections: connections.into(),
        is_first: kind == Kind::First,
        action: match kind {
            Kind::First => "/welcome",
            Kind::Another => "/domains/new",
        },
        form,
    })
}

/// The MDM servers of the client with this name, if there is one.
async fn servers_of(db: &mut PgConnection, scope: &Scope, client: &str) -> Result<Vec<MdmServer>, Fault> {
    let Ok(name) = Name::parse(client) else {
        return Ok(Vec::new());
    };
    match clients::store::find_by_name(&mut *db, scope, name.as_str()).await? {
        None => Ok(Vec::new()),
        Some(id) => {
            let stored = servers::store::list(db, scope, Some(id), None, 100).await?;
            let servers: Result<Vec<_>, DomainError> = stored.into_iter().map(StoredServer::configure).collect();
            Ok(servers?)
        }
    }
}

/// `POST /welcome`
pub async fn submit_first(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    add(&request, &member, (&console, payload), Kind::First).await
}

/// `POST /domains/new`: `client`, `hostname`, `mdm`, `p_…`, `enrollment`, `connection`, `website_url`, `document`; `step`.
pub async fn submit(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    add(&request, &member, (&console, payload), Kind::Another).await
}

async fn add(
    request: &HttpRequest,
    member: &Member,
    (console, payload): (&Console, web::Payload),
    kind: Kind,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(request, payload.into_inner(), form::LIMIT).await?;
    let input = input(&form);
    let lacks_tenant = input.server.as_ref().is_some_and(ServerInput::lacks_tenant);
    let note = match (Step::of(&form), lacks_tenant) {
        (Step::ShowFields, _) => None,
        (Step::Recognise, _) => mdm::recognise(&mut form),
        // Nobody's devices are sent to a tenant that nobody has seen: it is shown first.
        (Step::LookUp, _) | (Step::Finish, true) => {
            attempts::take_as(request, console, member.session_id.as_bytes())?;
            mdm::look_up(console, &mut form, "hostname").await
        }
        (Step::Finish, false) => {
            let mut tx = console.pool.begin().await?;
            match input.register(&mut tx, &console.registration_rules, &scope).await {
                Ok(domain) => {
                    tx.commit().await?;
                    console.check_wanted.notify_one();
                    return Ok(page::go_to(&format!("/domains/{}?done=added", domain.hostname)));
                }
                Err(error) => mdm::complain(&mut form, error)?,
            }
            None
        }
    };
    let is_fine = form.is_fine();
    let frame = Frame::member(request, member, section(kind));
    let mut db = console.pool.acquire().await?;
    let mut page = draw(frame, form, kind, (&mut db, &scope)).await?;
    page.mdm.note = note;
    Ok(match is_fine {
        true => page::show(&page),
        false => page::refuse(&page),
    })
}

fn input(form: &Form) -> DomainInput {
    let given = |name: &str| Some(form.value(name).trim().to_owned()).filter(|text| !text.is_empty());
    let (server_id, server) = match mdm::chosen(form) {
        Chosen::Stored(id) => (Some(id), None),
        Chosen::New(server) => (None, Some(server)),
    };
    DomainInput {
        hostname: form.value("hostname").trim().to_owned(),
        client_name: Some(form.value("client").to_owned()),
        server_id,
        server,
        connection: given("connection"),
        website_url: given("website_url"),
        ..DomainInput::default()
    }
}
