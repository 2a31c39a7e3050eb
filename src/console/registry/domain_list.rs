//! All domains: searched, filtered and sorted by the address of the page, so that a view can be kept and sent.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::words;
use crate::{
    accounts::{
        Member, Permission,
        clients::{self, Client},
    },
    console::{
        Console,
        fault::Fault,
        page::{self, Frame, Section, query},
        statuses,
    },
    domains::{
        connection::Expected,
        lists::{self, Line, Question, Sort, Text},
        next_action::next_action,
        status::{Status, status},
    },
    request_log::totals,
};

/// On one page.
const LIMIT: usize = 50;

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    frame: Frame,
    asked: Asked,
    client_name: Option<String>,
    lines: Vec<Shown>,
    /// Only a part of the domains was searched.
    is_partial: bool,
    /// The address of the next page, and that of the first if this is another.
    next: Option<String>,
    first: Option<String>,
    statuses: Vec<(&'static str, &'static str)>,
    may_write: bool,
}

/// A domain as a line shows it.
pub struct Shown {
    pub hostname: String,
    pub client_id: Uuid,
    pub client: String,
    pub status: (&'static str, &'static str),
    pub step: &'static str,
    /// Who must take it; none: nothing is to be done.
    pub who: Option<&'static str>,
    pub certificate: String,
    /// When a device asked last. Absent: whoever looks may not know.
    pub asked: Option<String>,
}

impl Shown {
    fn new(line: Line, expected: &Expected, now: DateTime<Utc>) -> Self {
        let Line { domain, client_name } = line;
        let action = next_action(&domain, expected, now);
        Self {
            client_id: domain.client_id,
            client: client_name,
            status: statuses::words(status(&domain, expected, now)),
            step: action.as_ref().map_or("Nothing", words::step),
            who: action.as_ref().map(|action| words::who(action.who)),
            certificate: words::certificate(&domain, expected, now),
            asked: None,
            hostname: domain.hostname,
        }
    }

    /// Whether there is a column for when devices asked last.
    #[must_use]
    pub fn tell_when_asked(lines: &[Self]) -> bool {
        lines.iter().any(|line| line.asked.is_some())
    }

    /// With when devices asked last, if `member` may know that.
    pub async fn of(
        db: &mut PgConnection,
        member: &Member,
        lines: Vec<Line>,
        (expected, now): (&Expected, DateTime<Utc>),
    ) -> Result<Vec<Self>, sqlx::Error> {
        let mut shown: Vec<_> = lines.into_iter().map(|line| Self::new(line, expected, now)).collect();
        if let Ok(scope) = member.scope(Permission::RequestsRead) {
            let hostnames: Vec<_> = shown.iter().map(|line| line.hostname.clone()).collect();
            let hours = totals::store::last_hours(db, &scope, &hostnames).await?;
            for line in &mut shown {
                line.asked = Some(words::asked(hours.get(&line.hostname), now));
            }
        }
        Ok(shown)
    }
}

/// What the page's address asks for, as it was typed. What can't be meant is left out.
#[derive(Clone)]
pub struct Asked {
    pub q: String,
    pub client: Option<Uuid>,
    pub status: Option<Status>,
    pub sort: Sort,
    pub after: Option<String>,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        Self {
            q: query(request, "q").unwrap_or_default(),
            client: query(request, "client").and_then(|text| text.parse().ok()),
            status: query(request, "status").and_then(|text| Status::parse(&text)),
            sort: query(request, "sort")
                .and_then(|text| Sort::parse(&text))
                .unwrap_or_default(),
            after: query(request, "after"),
        }
    }

    fn is_any(&self) -> bool {
        !self.q.trim().is_empty() || self.client.is_some() || self.status.is_some()
    }

    fn is_sorted(&self) -> bool {
        self.sort != Sort::default()
    }

    fn is_status(&self, key: &str) -> bool {
        self.status.is_some_and(|status| status.as_str() == key)
    }

    /// The page's address with these.
    fn address(&self) -> String {
        let client = self.client.map(|id| id.to_string());
        let pairs = [
            ("q", Some(self.q.trim()).filter(|text| !text.is_empty())),
            ("client", client.as_deref()),
            ("status", self.status.map(Status::as_str)),
            (
                "sort",
                Some(self.sort)
                    .filter(|sort| *sort != Sort::default())
                    .map(Sort::as_str),
            ),
            ("after", self.after.as_deref()),
        ];
        let given = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(given)
            .finish();
        match query.is_empty() {
            true => "/domains".to_owned(),
            false => format!("/domains?{query}"),
        }
    }

    /// The first page sorted by this, the other way if it is sorted so already; how it is sorted now, for
    /// `aria-sort` and in words.
    fn sorted(&self, by: &str) -> (String, Option<(&'static str, &'static str)>) {
        let (first, other) = match by {
            "added" => (Sort::Newest, Sort::Oldest),
            _ => (Sort::Hostname, Sort::HostnameBackwards),
        };
        let now = match self.sort {
            sort if sort != first && sort != other => None,
            Sort::Hostname => Some(("ascending", "a to z")),
            Sort::HostnameBackwards => Some(("descending", "z to a")),
            Sort::Newest => Some(("descending", "newest first")),
            Sort::Oldest => Some(("ascending", "oldest first")),
        };
        let address = Self {
            sort: if self.sort == first { other } else { first },
            after: None,
            ..self.clone()
        };
        (address.address(), now)
    }

    /// The same for all clients.
    fn of_any_client(&self) -> String {
        let address = Self {
            client: None,
            after: None,
            ..self.clone()
        };
        address.address()
    }
}

/// `GET /domains`: `q`, `client`, `status`, `sort`, `after`.
pub async fn show(request: HttpRequest, member: Member, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let asked = Asked::of(&request);
    let expected = &console.checker.expected;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let client: Option<Client> = match asked.client {
        Some(id) => Some(
            clients::store::find(&mut db, &scope, id)
                .await?
                .ok_or(Fault::NoSuchPage)?,
        ),
        None => None,
    };
    let text = Some(asked.q.trim()).filter(|text| !text.is_empty()).map(Text::parse);
    let page = match text {
        // Nothing is called so.
        Some(None) => lists::Page::default(),
        text => {
            let question = Question {
                client_id: asked.client,
                text: text.flatten(),
                status: asked.status,
                sort: asked.sort,
                after: asked.after.clone(),
            };
            lists::list(&mut db, &scope, &question, expected, (LIMIT, now.get())).await?
        }
    };
    let lines = Shown::of(&mut db, &member, page.lines, (expected, now.get())).await?;
    drop(db);
    let at = |after| Asked { after, ..asked.clone() }.address();
    let notice = match page::done(&request).as_deref() {
        Some("imported") => Some("The domains are registered. Each one's page says what to set in its DNS."),
        Some("deleted") => Some("The domain is deleted."),
        _ => None,
    };
    Ok(page::show(&DomainsPage {
        frame: Frame::member(&request, &member, Section::Domains).with_notice(notice),
        client_name: client.map(|client| client.name),
        is_partial: page.is_partial,
        next: page.next.map(|after| at(Some(after))),
        first: asked.after.is_some().then(|| at(None)),
        lines,
        statuses: Status::ALL
            .map(|status| (status.as_str(), statuses::words(status).1))
            .into(),
        may_write: member.scope(Permission::DomainsWrite).is_ok(),
        asked,
    }))
}
