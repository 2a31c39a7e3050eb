//! How the whole installation does, for whoever runs it: organisations, queues, certificates, and names that devices
//! ask for and nobody has registered. Only an operator sees it.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::Operator,
    certificates::{
        decisions::budget::Limits,
        standing::{self, Standing},
    },
    clock::DatabaseTime,
};

/// How long back names are looked for that nobody has registered.
pub const UNKNOWN_SINCE: TimeDelta = TimeDelta::days(7);

/// An organisation and how much there is of it.
#[derive(Debug)]
pub struct Organisation {
    pub id: Uuid,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub suspended_at: Option<DateTime<Utc>>,
    pub members: i64,
    pub clients: i64,
    pub domains: i64,
    /// Of these, the ones that it has proved to be its own.
    pub verified: i64,
    /// Of the last 24 hours.
    pub requests: i64,
}

/// What waits to be done, and since when the oldest of it.
#[derive(Debug)]
pub struct Queues {
    pub mails: i64,
    pub mails_since: Option<DateTime<Utc>>,
    /// In the days that mails are kept.
    pub mails_given_up: i64,
    pub checks: i64,
    pub checks_since: Option<DateTime<Utc>>,
    pub orders: i64,
    pub orders_since: Option<DateTime<Utc>>,
    /// When a node last brought requests from its disk to the database.
    pub shipped_at: Option<DateTime<Utc>>,
}

/// Certificates of one issuer.
#[derive(Debug)]
pub struct Issued {
    /// The CA's directory, or the internal CA's name.
    pub issuer: String,
    pub certificates: i64,
    pub expired: i64,
    /// Within seven days.
    pub expiring: i64,
}

/// The same with what waits and what may still be ordered.
#[derive(Debug)]
pub struct Issuer {
    pub issued: Issued,
    pub standing: Standing,
}

/// A name that is no domain of ours, and that devices asked for.
#[derive(Debug)]
pub struct UnknownDomain {
    pub hostname: String,
    pub requests: i64,
    pub families: Vec<String>,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Every issuer that has something here.
pub async fn issuers(db: &mut PgConnection, operator: Operator, now: DatabaseTime) -> Result<Vec<Issuer>, sqlx::Error> {
    let mut issuers = Vec::new();
    for issued in store::count_certificates(db, operator, now).await? {
        let limit = Limits::of(&issued.issuer).orders;
        let window = limit.map_or(TimeDelta::zero(), |limit| limit.per);
        let mut standing = standing::store::count(db, &issued.issuer, window, now).await?;
        standing.orders_left = limit.map(|limit| (i64::from(limit.count) - standing.orders).max(0));
        issuers.push(Issuer { issued, standing });
    }
    Ok(issuers)
}
