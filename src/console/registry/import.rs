//! Many domains from a sheet: first what would happen, row by row; then it happens.
use std::collections::HashSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use askama::Template;

use super::words;
use crate::{
    accounts::{Member, Permission, Scope, clients::ClientError},
    console::{
        Console, attempts,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
    },
    domains::{
        imports::{
            self, Mode, Outcome, Row,
            sheet::{self, Column, Line},
        },
        intake::{IntakeError, tenants},
    },
};

/// A thousand rows with all that a row can have, as a browser sends them.
const LIMIT: usize = 4 * 1024 * 1024;

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    frame: Frame,
    form: Form,
    columns: Vec<Column>,
    /// What would become, or became, of the rows; none: nothing was sent yet.
    result: Option<Report>,
}

struct Report {
    rows: Vec<RowReport>,
    fine: i64,
    wrong: i64,
    /// The fine ones are registered.
    is_done: bool,
}

struct RowReport {
    /// In the text.
    line: u64,
    hostname: String,
    /// What is wrong, each with its column.
    errors: Vec<(String, String)>,
}

/// `GET /domains/import`
pub async fn show(request: HttpRequest, member: Member) -> Result<HttpResponse, Fault> {
    member.scope(Permission::DomainsWrite)?;
    Ok(page::show(&draw(&request, &member, Form::default(), None)))
}

/// `GET /domains/import/template.csv`
pub async fn template(member: Member) -> Result<HttpResponse, Fault> {
    member.scope(Permission::DomainsWrite)?;
    Ok(HttpResponse::Ok()
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"signpost-domains.csv\"",
        ))
        .content_type("text/csv; charset=utf-8")
        .body(sheet::template()))
}

fn draw(request: &HttpRequest, member: &Member, form: Form, result: Option<Report>) -> ImportPage {
    ImportPage {
        frame: Frame::member(request, member, Section::Domains),
        form,
        columns: sheet::columns(),
        result,
    }
}

/// `POST /domains/import`: `csv` or a `file`; `partial`; `step`: `check` or `import`.
pub async fn submit(
    request: HttpRequest,
    member: Member,
    console: web::Data<Console>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), LIMIT).await?;
    let file = form.text_of_file("file");
    if !file.trim().is_empty() {
        form.set("csv", file);
    }
    let Some(lines) = form.parse("csv", sheet::read) else {
        return Ok(page::refuse(&draw(&request, &member, form, None)));
    };
    let mode = match (form.value("step"), form.value("partial")) {
        ("import", "yes") => Mode::Partial,
        ("import", _) => Mode::AllOrNone,
        _ => Mode::DryRun,
    };
    attempts::take_as(&request, &console, member.session_id.as_bytes())?;
    let report = run(&console, &scope, lines, mode).await?;
    if report.is_done && report.wrong == 0 {
        return Ok(page::go_to("/domains?sort=newest&done=imported"));
    }
    let status = match (mode, report.is_done) {
        (Mode::DryRun, _) | (_, true) => StatusCode::OK,
        (_, false) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    if report.is_done {
        // What is left to mend, and nothing that is there already.
        let wrong = report.rows.iter().filter(|row| !row.errors.is_empty());
        let wrong: HashSet<_> = wrong.map(|row| row.line).collect();
        let rest = sheet::only(form.value("csv"), &wrong);
        form.set("csv", rest);
    }
    Ok(page::answer(status, &draw(&request, &member, form, Some(report))))
}

async fn run(console: &Console, scope: &Scope, lines: Vec<Line>, mode: Mode) -> Result<Report, Fault> {
    let (numbers, mut rows): (Vec<_>, Vec<_>) = lines.into_iter().map(|line| (line.number, line.row)).unzip();
    rows.iter_mut().for_each(|row| belong(row, scope));
    tenants::fill_in(
        &console.entra,
        rows.iter_mut().filter_map(|row| row.input.as_mut().ok()),
    )
    .await;
    let mut tx = console.pool.begin().await?;
    let outcomes = imports::register(&mut tx, &console.registration_rules, scope, rows).await?;
    let is_done = mode.keeps(&outcomes) && outcomes.iter().any(|outcome| outcome.registered.is_ok());
    match is_done {
        true => {
            tx.commit().await?;
            console.check_wanted.notify_one();
        }
        false => tx.rollback().await?,
    }
    let mut rows: Vec<_> = numbers.into_iter().zip(outcomes).map(RowReport::new).collect();
    // What is to be mended is seen first.
    rows.sort_by_key(|row| (row.errors.is_empty(), row.line));
    let count = |is_fine| {
        let meant = rows.iter().filter(|row: &&RowReport| row.errors.is_empty() == is_fine);
        i64::try_from(meant.count()).unwrap_or(i64::MAX)
    };
    Ok(Report {
        fine: count(true),
        wrong: count(false),
        rows,
        is_done,
    })
}

/// Whoever is limited to one client need not name it.
fn belong(row: &mut Row, scope: &Scope) {
    if let (Ok(input), Some(client_id)) = (&mut row.input, scope.client_id())
        && input.client_name.as_ref().is_some_and(String::is_empty)
    {
        input.client_name = None;
        input.client_id = Some(client_id);
    }
}

impl RowReport {
    fn new((line, outcome): (u64, Outcome)) -> Self {
        let one = |column: &str, detail: &str| (column.to_owned(), words::sentence("It", detail));
        Self {
            line,
            hostname: outcome.hostname.unwrap_or_default(),
            errors: match outcome.registered {
                Ok(_) => Vec::new(),
                Err(IntakeError::Invalid(errors)) => errors
                    .iter()
                    .map(|error| one(sheet::column_of(&error.pointer), &error.detail))
                    .collect(),
                Err(IntakeError::Client(ClientError::LimitedToOneClient)) => {
                    vec![one("client", "must be your own: you see no other client")]
                }
                Err(error) => vec![one("hostname", &error.to_string())],
            },
        }
    }
}
