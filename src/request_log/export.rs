//! The request log as a file: CSV or NDJSON, page by page, so that neither memory nor a transaction grows with it.
//! Knows nothing of HTTP.
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Filter, Request, lists};
use crate::accounts::Scope;

const PAGE: i64 = 1_000;

/// One request of a device.
#[derive(Serialize, ToSchema)]
#[schema(as = RequestBody)]
pub struct Line {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    #[schema(example = "contoso.com")]
    pub hostname: String,
    /// `AppleTV`, `iPad`, `iPhone`, `Mac`, `RealityDevice`, `Watch`, `unknown` or `none`.
    #[schema(example = "iPhone")]
    pub model_family: String,
    /// Tells one person's requests together, and not who it is.
    #[schema(example = "a3f1c9b07d2e4f5a8b6c1d0e9f3a7b52")]
    pub user: Option<String>,
    /// `served`, `rejected`, `deferred` or `redirected`.
    #[schema(example = "served")]
    pub outcome: String,
    #[schema(example = 200)]
    pub status: i16,
    pub server_id: Option<Uuid>,
    #[schema(example = "DeviceManagementClient/1.0")]
    pub user_agent: Option<String>,
    /// /24 or /48.
    #[schema(example = "203.0.113.0/24")]
    pub client_network: String,
    #[schema(example = "TLSv1.3")]
    pub tls: Option<String>,
}

impl From<Request> for Line {
    fn from(request: Request) -> Self {
        let user = request.user_digest.map(|digest| crate::input::hexadecimal(&digest));
        let Request {
            id,
            at,
            hostname,
            model_family,
            outcome,
            status,
            server_id,
            user_agent,
            client_network,
            tls,
            ..
        } = request;
        Self {
            id,
            at,
            hostname,
            model_family,
            user,
            outcome,
            status,
            server_id,
            user_agent,
            client_network,
            tls,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

impl Format {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// For `Content-Disposition`.
    #[must_use]
    pub fn disposition(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"requests.csv\"",
            Self::Ndjson => "attachment; filename=\"requests.ndjson\"",
        }
    }
}

/// How far an export has come.
pub struct Export {
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

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the request log could not be read")]
    Database(#[from] sqlx::Error),
    #[error("a row could not be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a row could not be written: {0}")]
    Csv(#[from] csv::Error),
}

impl Export {
    #[must_use]
    pub fn new(pool: PgPool, scope: Scope, filter: Filter, format: Format) -> Self {
        Self {
            pool,
            scope,
            filter,
            format,
            next: Next::First,
        }
    }

    /// The next lines, newest first; `None` after the last.
    pub async fn next_page(&mut self) -> Result<Option<Bytes>, ExportError> {
        let (before, is_first) = match self.next {
            Next::First => (None, true),
            Next::After(id) => (Some(id), false),
            Next::End => return Ok(None),
        };
        // A filter that finds little reads much for a page. If the caller leaves, the statement is given up.
        let mut tx = self.pool.begin().await?;
        crate::postgres::lift_timeouts(&mut tx).await?;
        let rows = lists::list(&mut tx, &self.scope, &self.filter, before, PAGE).await?;
        tx.commit().await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < PAGE;
        self.next = rows
            .last()
            .filter(|_| !is_last)
            .map_or(Next::End, |row| Next::After(row.id));
        let rows = rows.into_iter().map(Line::from);
        match self.format {
            Format::Csv => csv_page(rows, is_first).map(Some),
            Format::Ndjson => ndjson_page(rows).map(Some),
        }
    }
}

fn ndjson_page(rows: impl Iterator<Item = Line>) -> Result<Bytes, ExportError> {
    let mut page = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut page, &row)?;
        page.push(b'\n');
    }
    Ok(page.into())
}

fn csv_page(rows: impl Iterator<Item = Line>, with_header: bool) -> Result<Bytes, ExportError> {
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
        page.serialize(Line {
            user_agent: row.user_agent.map(disarm),
            ..row
        })?;
    }
    let page = page
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(page.into())
}

/// A spreadsheet takes a text that begins so for a formula, also after blanks, and in full-width characters as East
/// Asian keyboards type them. The agent's text comes from anybody.
/// [owasp.org/www-community/attacks/CSV_Injection]
fn disarm(text: String) -> String {
    let first = text
        .trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
        .chars()
        .next();
    let is_formula = matches!(first, Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'));
    if is_formula || text.starts_with(['\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_a_spreadsheet_would_calculate_is_quoted() {
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "＝1",
            "＋1",
            "－1",
            "＠SUM",
            " =1",
            "\u{feff}=1",
            "\u{3000}＝1",
            "\t=1",
            "\tx",
            "\rx",
            "\nx",
        ] {
            assert_eq!(disarm(text.to_owned()), format!("'{text}"), "{text:?}");
        }
        for text in ["", "DeviceManagementClient/1.0", "a=b", "1-2", " x", "é"] {
            assert_eq!(disarm(text.to_owned()), text, "{text:?}");
        }
    }
}
