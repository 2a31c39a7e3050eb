//! What devices asked: a table by a filter, plots of it, and the same as a file.
pub mod filter;
pub mod rows;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use askama::Template;
use chrono::{DateTime, Utc};
use futures_util::stream;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Console,
    fault::Fault,
    form::Form,
    page::{self, Frame, Section},
    plots::{self, Plot, Window},
};
use crate::{
    accounts::{Member, Permission, Scope, clients},
    discovery::{handler::WELL_KNOWN, hit::Outcome, query::Asked},
    domains,
    request_log::{
        Filter,
        export::{Export, Format},
        lists,
    },
};
use rows::Row;

const PAGE: i64 = 50;
/// Clients that the filter offers; others are reached from their own pages.
const CLIENTS: i64 = 500;

pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(super::page("/requests", web::get().to(show)))
        .service(super::page("/requests/export.csv", web::get().to(export_csv)))
        .service(super::page("/requests/export.ndjson", web::get().to(export_ndjson)));
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    frame: Frame,
    form: Form,
    clients: Vec<(String, String)>,
    families: Vec<(&'static str, &'static str)>,
    outcomes: Vec<(&'static str, &'static str)>,
    plot: Option<Plot>,
    rows: Vec<Row>,
    /// Of the filter, for links.
    query: String,
    is_first: bool,
    /// The query of the next page.
    older: Option<String>,
    ask: String,
}

/// `GET /requests?domain=&client=&family=&outcome=&since=&until=&before=`
async fn show(request: HttpRequest, member: Member, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::RequestsRead)?;
    let mut form = filter::read(&request);
    let filter = filter::parse(&mut form);
    let before = page::query(&request, "before").and_then(|text| text.parse::<Uuid>().ok());
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let (mut rows, mut plot) = (Vec::new(), None);
    if let Some(filter) = &filter {
        plot = Some(plots::load(&mut db, &scope, filter, window(filter, now.get())).await?);
        rows = lists::list(&mut db, &scope, filter, before, PAGE + 1).await?;
    }
    let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) <= PAGE;
    rows.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let last = rows.last().map(|row| row.id.to_string()).filter(|_| !is_last);
    let rows = rows::of(&mut db, &scope, rows).await?;
    let clients = match scope.client_id() {
        Some(_) => Vec::new(),
        None => clients::store::list(&mut db, &scope, None, CLIENTS).await?,
    };
    let ask = ask(&mut db, &scope, &console.portal_url).await?;
    drop(db);
    let page = RequestsPage {
        frame: Frame::member(&request, &member, Section::Requests),
        clients: clients
            .into_iter()
            .map(|client| (client.id.to_string(), client.name))
            .collect(),
        families: families(),
        outcomes: Outcome::ALL[..4]
            .iter()
            .map(|outcome| (outcome.as_str(), rows::outcome(outcome.as_str()).1))
            .collect(),
        plot,
        rows,
        query: filter::query(&form, &[]),
        is_first: before.is_none(),
        older: last.map(|last| filter::query(&form, &[("before", &last)])),
        ask,
        form,
    };
    Ok(match filter {
        Some(_) => page::show(&page),
        None => page::refuse(&page),
    })
}

fn families() -> Vec<(&'static str, &'static str)> {
    let name = |asked: Asked| match asked {
        Asked::Family(family) => (family.as_str(), plots::family(family.as_str()).1),
        Asked::Unknown => ("unknown", "One that we don't know"),
        Asked::None => ("none", "None told"),
    };
    let mut families = Asked::ALL.map(name).to_vec();
    families.sort_by_key(|(family, _)| {
        plots::FAMILIES
            .iter()
            .position(|(other, ..)| other == family)
            .unwrap_or(usize::MAX)
    });
    families
}

/// What the filter says of times; 30 days if it says nothing.
fn window(filter: &Filter, now: DateTime<Utc>) -> Window {
    match (filter.since, filter.until) {
        (None, None) => Window::last_30_days(now),
        (Some(since), until) => Window::between(since, until.unwrap_or(now).max(since)),
        (None, Some(until)) => Window::between(Window::last_30_days(until).since, until),
    }
}

/// A line that makes a request appear, for one of their own domains.
pub async fn ask(db: &mut PgConnection, scope: &Scope, portal_url: &str) -> Result<String, Fault> {
    let first = domains::store::first_hostname(db, scope).await?;
    let hostname = first.as_deref().unwrap_or("your-domain.example");
    let authority = portal_url
        .split_once("://")
        .map_or(portal_url, |(_, authority)| authority);
    let (portal, port) = authority.split_once(':').unwrap_or((authority, "80"));
    Ok(format!(
        "curl --connect-to {hostname}:80:{portal}:{port} 'http://{hostname}{WELL_KNOWN}?user-identifier=ada@{hostname}&model-family=iPhone'"
    ))
}

async fn export_csv(request: HttpRequest, member: Member, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    export(&request, &member, &console, Format::Csv)
}

async fn export_ndjson(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
) -> Result<HttpResponse, Fault> {
    export(&request, &member, &console, Format::Ndjson)
}

/// `GET /requests/export.csv` and `.ndjson`, with the filter of the page. A failure of the database breaks the connection
/// off: a file that looks whole and is not would be worse.
fn export(request: &HttpRequest, member: &Member, console: &Console, format: Format) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::RequestsRead)?;
    let mut form = filter::read(request);
    let Some(filter) = filter::parse(&mut form) else {
        return Ok(page::go_to(&format!("/requests?{}", filter::query(&form, &[]))));
    };
    let export = Export::new(console.pool.clone(), scope, filter, format);
    let pages = stream::try_unfold(export, |mut export| async move {
        let page = export.next_page().await.map_err(|error| {
            crate::telemetry::log_failed_work("an export broke off", error);
            std::io::Error::other("an export broke off")
        })?;
        Ok::<_, std::io::Error>(page.map(|page| (page, export)))
    });
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((header::CONTENT_DISPOSITION, format.disposition()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pages))
}
