//! The request log as a stream: CSV or NDJSON, page by page, so that neither memory nor a
//! transaction grows with it.
use actix_web::{HttpResponse, http::header};
use bytes::Bytes;
use futures_util::stream;
use sqlx::PgPool;
use uuid::Uuid;

use super::requests::RequestBody;
use crate::{
    accounts::Scope,
    request_log::{Filter, store},
};

const PAGE: i64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

impl Format {
    /// The export that an `Accept` header asks for, if it asks for one.
    #[must_use]
    pub fn accepted(accept: &str) -> Option<Self> {
        accept
            .split(',')
            .find_map(|item| match item.split(';').next().unwrap_or_default().trim() {
                "text/csv" => Some(Self::Csv),
                "application/x-ndjson" => Some(Self::Ndjson),
                _ => None,
            })
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"requests.csv\"",
            Self::Ndjson => "attachment; filename=\"requests.ndjson\"",
        }
    }
}

/// How far a stream has come.
struct Cursor {
    pool: PgPool,
    scope: Scope,
    filter: Filter,
    format: Format,
    next: Next,
}

enum Next {
    First,
    After(Uuid),
    End,
}

/// Rows newest first. A failure of the database breaks the connection off: an export that looks
/// whole and is not would be worse.
#[must_use]
pub fn stream(pool: PgPool, scope: Scope, filter: Filter, format: Format) -> HttpResponse {
    let cursor = Cursor {
        pool,
        scope,
        filter,
        format,
        next: Next::First,
    };
    let pages = stream::try_unfold(cursor, |mut cursor| async move {
        let page = cursor
            .page()
            .await
            .inspect_err(|error| tracing::error!(%error, "an export broke off"));
        Ok::<_, ExportError>(page?.map(|page| (page, cursor)))
    });
    HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((header::CONTENT_DISPOSITION, format.file_name()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pages)
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the request log could not be read")]
    Database(#[from] sqlx::Error),
    #[error("a row could not be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a row could not be written: {0}")]
    Csv(#[from] csv::Error),
}

impl actix_web::ResponseError for ExportError {}

impl Cursor {
    async fn page(&mut self) -> Result<Option<Bytes>, ExportError> {
        let (before, is_first) = match self.next {
            Next::First => (None, true),
            Next::After(id) => (Some(id), false),
            Next::End => return Ok(None),
        };
        let mut db = self.pool.acquire().await?;
        let rows = store::list(&mut db, &self.scope, &self.filter, before, PAGE).await?;
        drop(db);
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < PAGE;
        self.next = rows
            .last()
            .filter(|_| !is_last)
            .map_or(Next::End, |row| Next::After(row.id));
        let rows = rows.into_iter().map(RequestBody::from);
        match self.format {
            Format::Csv => csv_page(rows, is_first).map(Some),
            Format::Ndjson => ndjson_page(rows).map(Some),
        }
    }
}

fn ndjson_page(rows: impl Iterator<Item = RequestBody>) -> Result<Bytes, ExportError> {
    let mut page = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut page, &row)?;
        page.push(b'\n');
    }
    Ok(page.into())
}

fn csv_page(rows: impl Iterator<Item = RequestBody>, with_header: bool) -> Result<Bytes, ExportError> {
    let mut page = csv::WriterBuilder::new()
        .has_headers(false)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if with_header {
        page.write_record([
            "id",
            "at",
            "hostname",
            "model_family",
            "user",
            "outcome",
            "status",
            "server_id",
            "user_agent",
            "client_network",
            "tls",
        ])?;
    }
    for row in rows {
        page.serialize(RequestBody {
            user_agent: row.user_agent.map(disarm),
            ..row
        })?;
    }
    let page = page
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(page.into())
}

/// A spreadsheet takes a text that starts so for a formula; the agent's text comes from anybody.
fn disarm(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    }
}
