//! What devices asked: each request one row and one count, and never a reason for a device to wait.
//!
//! Each worker writes through its `lane` to a file of the `spool` before its answer leaves; `keeper` hands them to the
//! disk once a second; `shipper` carries the spool to Postgres, rows and counts in one transaction. While Postgres is
//! away the spool grows, up to a limit. No readable user identifier comes this far.
pub mod batch;
mod deletion;
pub mod erasure;
pub mod export;
pub mod keeper;
pub mod lane;
pub mod lists;
pub mod partitions;
pub mod positions;
pub mod record;
pub mod shipper;
pub mod spool;
pub mod store;
pub mod summaries;
pub mod totals;

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// One row of the log as the API shows it.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub hostname: String,
    pub model_family: String,
    pub user_digest: Option<Vec<u8>>,
    pub outcome: String,
    pub status: i16,
    pub server_id: Option<Uuid>,
    pub user_agent: Option<String>,
    pub client_network: String,
    pub tls: Option<String>,
}

/// Which rows a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A hostname, or the id of a domain.
    pub hostname: Option<String>,
    pub domain_id: Option<Uuid>,
    pub client_id: Option<Uuid>,
    pub model_family: Option<String>,
    pub outcome: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

/// By what a summary is grouped, and ordered. Counts are kept by the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    ModelFamily,
    Domain,
    Outcome,
    Hour,
    Day,
}

impl Group {
    fn compare(self, a: &SummaryRow, b: &SummaryRow) -> Ordering {
        match self {
            Self::ModelFamily => a.model_family.cmp(&b.model_family),
            Self::Domain => a.hostname.cmp(&b.hostname),
            Self::Outcome => a.outcome.cmp(&b.outcome),
            Self::Hour | Self::Day => a.time.cmp(&b.time),
        }
    }
}

/// One line of a summary: what was not grouped by is `None`.
#[derive(Clone, Debug)]
pub struct SummaryRow {
    pub model_family: Option<String>,
    pub hostname: Option<String>,
    pub outcome: Option<String>,
    pub time: Option<DateTime<Utc>>,
    pub count: i64,
}
