//! The first page: for strangers what this is, for members how their domains are and what needs doing.
mod certificates;
mod todo;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console,
    browser::Browser,
    door,
    fault::Fault,
    page::{self, Frame, Section},
    plots::{self, Plots},
    requests::rows::{self, Row},
    statuses,
};
use crate::{
    accounts::{Member, Permission, clients},
    domains::{standing::Standing, status::Status},
    request_log::{self, Filter},
};
use certificates::Certificates;
use chrono::TimeDelta;
use todo::Todo;

/// How many of the newest requests are shown, and how far back they are looked for.
const NEWEST: i64 = 8;
const NEWEST_OF: TimeDelta = TimeDelta::days(7);

#[derive(Template)]
#[template(path = "front.html")]
struct FrontPage {
    frame: Frame,
    may_register: bool,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    standing: Arc<Standing>,
    sentence: String,
    tally: Vec<Tally>,
    todo: Vec<Todo>,
    /// Others that wait for somebody, and are not listed.
    more: Option<String>,
    plots: Plots,
    newest: Vec<Row>,
    certificates: Certificates,
    may_write: bool,
    ask: String,
}

/// So many domains with one status.
struct Tally {
    status: Status,
    count: i64,
}

impl Tally {
    fn class(&self) -> &'static str {
        statuses::words(self.status).0
    }

    fn words(&self) -> &'static str {
        statuses::words(self.status).1
    }
}

/// `GET /`
pub async fn show(request: HttpRequest, console: web::Data<Console>) -> Result<HttpResponse, Fault> {
    let Some(member) = door::member(&request, &console).await? else {
        return Ok(page::show(&FrontPage {
            frame: Frame::visitor(&Browser::of(&request)),
            may_register: console.may_register,
        }));
    };
    overview(&request, &member, &console).await
}

async fn overview(request: &HttpRequest, member: &Member, console: &Console) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let requests_scope = member.scope(Permission::RequestsRead)?;
    let expected = &console.checker.expected;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let standing = console.standings.find(&mut db, &scope, now).await?;
    let todo = todo::find(&mut db, &scope, &standing, expected, now).await?;
    let plots = plots::of_all(&mut db, &requests_scope, now).await?;
    let filter = Filter {
        since: Some(now.get() - NEWEST_OF),
        ..Filter::default()
    };
    let newest = request_log::lists::list(&mut db, &requests_scope, &filter, None, NEWEST).await?;
    let newest = rows::of(&mut db, &scope, newest).await?;
    let certificates = Certificates::find(&mut db, &scope, &expected.issuer, now).await?;
    let clients = clients::store::count(&mut db, &scope).await?;
    let ask = super::requests::ask(&mut db, &scope, &console.portal_url).await?;
    drop(db);
    let listed = i64::try_from(todo.len()).unwrap_or(i64::MAX);
    Ok(page::show(&OverviewPage {
        frame: Frame::member(request, member, Section::Overview),
        sentence: sentence(&standing, clients),
        tally: tally(&standing),
        more: Some(standing.waiting - listed)
            .filter(|more| *more > 0)
            .map(plots::grouped),
        todo,
        plots,
        newest,
        certificates,
        may_write: member.role.permissions().contains(&Permission::DomainsWrite),
        ask,
        standing,
    }))
}

fn tally(standing: &Standing) -> Vec<Tally> {
    let counts = standing.counts.iter().filter(|(_, count)| *count > 0);
    let mut tally: Vec<_> = counts
        .map(|(status, count)| Tally {
            status: *status,
            count: *count,
        })
        .collect();
    tally.sort_by_key(|tally| match tally.status {
        Status::Active => 0,
        Status::Attention => 1,
        _ => 2,
    });
    tally
}

/// "8 domains of 3 clients. Two need somebody to act."
fn sentence(standing: &Standing, clients: i64) -> String {
    let many = |count: i64, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{} {word}s", plots::grouped(count)),
    };
    let waiting = match (standing.waiting, standing.total()) {
        (0, _) => "Nothing needs doing.".to_owned(),
        (1, 1) => "It needs somebody to act.".to_owned(),
        (1, _) => "One needs somebody to act.".to_owned(),
        (count @ 2..=9, _) => {
            const WORDS: [&str; 8] = ["Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"];
            let word = usize::try_from(count - 2).ok().and_then(|place| WORDS.get(place));
            format!("{} need somebody to act.", word.copied().unwrap_or("Some"))
        }
        (count, _) => format!("{} need somebody to act.", plots::grouped(count)),
    };
    format!(
        "{} of {}. {waiting}",
        many(standing.total(), "domain"),
        many(clients, "client")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_how_many_there_are_and_how_many_wait() {
        let standing = |count, waiting| Standing {
            counts: vec![(Status::Active, count)],
            waiting,
            named: Vec::new(),
        };
        for (count, waiting, clients, text) in [
            (8, 2, 3, "8 domains of 3 clients. Two need somebody to act."),
            (1, 0, 1, "1 domain of 1 client. Nothing needs doing."),
            (1, 1, 1, "1 domain of 1 client. It needs somebody to act."),
            (
                10_000,
                1,
                300,
                "10,000 domains of 300 clients. One needs somebody to act.",
            ),
            (
                10_000,
                1_234,
                300,
                "10,000 domains of 300 clients. 1,234 need somebody to act.",
            ),
        ] {
            assert_eq!(sentence(&standing(count, waiting), clients), text);
        }
    }
}
