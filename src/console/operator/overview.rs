//! All organisations, and how the installation does.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{age, operator};
use crate::{
    accounts::Member,
    console::{
        Console,
        fault::Fault,
        page::{self, Frame, Section},
    },
    operating::{self, Issuer, Organisation, store},
};

/// Organisations on a page.
const ON_A_PAGE: usize = 50;
/// What waits longer than this wants a look.
const LONG_MINUTES: i64 = 15;

#[derive(Template)]
#[template(path = "operator.html")]
struct OverviewPage {
    frame: Frame,
    wanted: String,
    organisations: Vec<Organisation>,
    /// Where the next page begins.
    next: Option<Uuid>,
    queues: Vec<Queue>,
    mails_given_up: i64,
    shipped: Option<String>,
    issuers: Vec<Issuer>,
}

/// A line of what waits.
struct Queue {
    name: &'static str,
    count: i64,
    /// How long the oldest one has waited.
    age: Option<String>,
    is_late: bool,
}

impl Queue {
    fn new(name: &'static str, count: i64, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        Self {
            name,
            count,
            age: since.map(|since| age(since, now)),
            is_late: since.is_some_and(|since| (now - since).num_minutes() >= LONG_MINUTES),
        }
    }
}

/// `GET /operator`: `q`, `before`.
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let operator = operator(&member)?;
    let wanted = page::query(&request, "q").unwrap_or_default().trim().to_owned();
    let before = page::query(&request, "before").and_then(|id| id.parse().ok());
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let limit = i64::try_from(ON_A_PAGE + 1).unwrap_or(i64::MAX);
    // No name has it.
    let part = wanted.replace('\0', "\u{fffd}");
    let mut organisations = store::list_organisations(&mut db, operator, (&part, before), limit, now).await?;
    let are_more = organisations.len() > ON_A_PAGE;
    organisations.truncate(ON_A_PAGE);
    let queues = store::count_queues(&mut db, operator, now).await?;
    let issuers = operating::issuers(&mut db, operator, now).await?;
    Ok(page::show(&OverviewPage {
        frame: Frame::member(&request, &member, Section::Operator),
        wanted,
        next: organisations.last().map(|last| last.id).filter(|_| are_more),
        organisations,
        mails_given_up: queues.mails_given_up,
        shipped: queues.shipped_at.map(|at| age(at, now.get())),
        queues: vec![
            Queue::new("Mails to be sent", queues.mails, queues.mails_since, now.get()),
            Queue::new("Domains to be looked at", queues.checks, queues.checks_since, now.get()),
            Queue::new(
                "Certificates being ordered",
                queues.orders,
                queues.orders_since,
                now.get(),
            ),
        ],
        issuers,
    }))
}
