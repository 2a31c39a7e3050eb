//! Carries the spool to Postgres: rows, counts and the spool's position in one transaction, so that
//! a crash anywhere ships every request exactly once.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::{ContextV7, Timestamp, Uuid};

use super::{
    partitions,
    record::{Record, Row},
    spool::{Position, Spool},
    store,
};
use crate::outbox::event;

/// Between two looks at an empty spool.
const IDLE: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// While requests come in faster than they are shipped, shipping rests this many times as long as it
/// works: devices come first on a busy machine, and the spool waits on disk.
const REST: u32 = 9;

pub struct Shipper {
    pool: PgPool,
    spool: Arc<Spool>,
    shipped: AtomicU64,
    context: Mutex<ContextV7>,
    /// Where this process stopped shipping: an empty spool then costs the database nothing.
    reached: Mutex<Option<Position>>,
}

/// What one transaction writes.
#[derive(Default)]
pub struct Batch {
    pub rows: Vec<(Uuid, Row)>,
    pub counts: HashMap<CountKey, i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CountKey {
    pub hour: DateTime<Utc>,
    pub organisation_id: Option<Uuid>,
    pub client_id: Option<Uuid>,
    /// Nil for domains unknown to us.
    pub domain_id: Uuid,
    pub hostname: String,
    pub model_family: String,
    pub outcome: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    #[error("the spool of the request log can't be read: {0}")]
    Spool(#[from] std::io::Error),
    #[error("the request log could not be written")]
    Database(#[from] sqlx::Error),
}

impl Shipper {
    #[must_use]
    pub fn new(pool: PgPool, spool: Arc<Spool>) -> Self {
        Self {
            pool,
            spool,
            shipped: AtomicU64::new(0),
            context: Mutex::new(ContextV7::new()),
            reached: Mutex::new(None),
        }
    }

    /// Records shipped since the start.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.shipped.load(Ordering::Relaxed)
    }

    /// Ships until `cancel`. Neither a spool nor a database that fails ends it: it tries again.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut is_failing = false;
        let mut written = self.spool.written();
        loop {
            let (started, shipped) = (Instant::now(), self.shipped());
            let result = self.ship_next().await;
            let before = std::mem::replace(&mut written, self.spool.written());
            let is_falling_behind = written - before > self.shipped() - shipped;
            let pause = match &result {
                Ok(true) if is_falling_behind => (started.elapsed() * REST).min(RETRY),
                Ok(true) => Duration::ZERO,
                Ok(false) => IDLE,
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(%error, "the request log waits on disk");
                    }
                    RETRY
                }
            };
            is_failing = result.is_err();
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Ships everything that is in the spool, without rest. For the end of a run.
    pub async fn flush(&self) -> Result<(), ShipError> {
        while self.ship_next().await? {}
        Ok(())
    }

    /// Ships one frame. `false`: there is none.
    pub async fn ship_next(&self) -> Result<bool, ShipError> {
        let reached = *self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reached) = reached
            && self.read(reached).await?.is_none()
        {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        let from = store::find_position(&mut tx, self.spool.id()).await?;
        let Some((records, next)) = self.read(from).await? else {
            self.set_reached(from);
            return Ok(false);
        };
        let count = records.len() as u64;
        let batch = self.batch(records);
        batch.write(&mut tx).await?;
        tell_first(&mut tx, &batch).await?;
        store::set_position(&mut tx, self.spool.id(), next).await?;
        tx.commit().await?;
        self.shipped.fetch_add(count, Ordering::Relaxed);
        self.set_reached(next);
        if next.segment > from.segment {
            self.spool.forget_before(next)?;
        }
        Ok(true)
    }

    async fn read(&self, from: Position) -> Result<Option<(Vec<Record>, Position)>, ShipError> {
        let spool = self.spool.clone();
        Ok(tokio::task::spawn_blocking(move || spool.read(from))
            .await
            .map_err(std::io::Error::other)??)
    }

    fn set_reached(&self, position: Position) {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    fn batch(&self, records: Vec<Record>) -> Batch {
        let mut batch = Batch::default();
        for record in records {
            match record {
                Record::Hit(row) => batch.add(self.request_id(row.at), row),
                Record::Stranger(row) => batch.rows.push((self.request_id(row.at), row)),
                Record::StrangerCount {
                    at,
                    model_family,
                    count,
                } => {
                    let key = CountKey::of_strangers(at, model_family.into_owned());
                    *batch.counts.entry(key).or_default() += i64::try_from(count).unwrap_or(i64::MAX);
                }
            }
        }
        batch
    }

    /// Ordered by the time of the request, and in the order of arrival within a millisecond.
    fn request_id(&self, at: i64) -> Uuid {
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        request_id(&context, at)
    }
}

/// Says, once a domain, that a device has asked.
async fn tell_first(db: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let now = crate::clock::now();
    for (subject, at) in store::insert_first(db, &batch.firsts()).await? {
        event::tell(db, event::Kind::DomainFirstRequest, &subject, json!({ "at": at }), now).await?;
    }
    Ok(())
}

fn request_id(context: &ContextV7, at: i64) -> Uuid {
    let at = time(at);
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(context, seconds, at.timestamp_subsec_nanos()))
}

impl Batch {
    fn add(&mut self, request_id: Uuid, row: Row) {
        *self.counts.entry(CountKey::of(&row)).or_default() += 1;
        self.rows.push((request_id, row));
    }

    /// A row and its count, of a time that is over.
    pub fn add_past(&mut self, row: Row) {
        self.add(request_id(&ContextV7::new(), row.at), row);
    }

    /// Rows and counts, in the caller's transaction.
    pub async fn write(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        for day in self.days() {
            partitions::store::ensure(db, day).await?;
        }
        store::insert_requests(db, &self.rows).await?;
        store::add_counts(db, &self.counts).await
    }

    /// When each domain was asked for first.
    fn firsts(&self) -> BTreeMap<Uuid, DateTime<Utc>> {
        let mut firsts = BTreeMap::new();
        for (_, row) in &self.rows {
            if let Some(owner) = row.owner {
                let at = time(row.at);
                let first = firsts.entry(owner.domain_id).or_insert(at);
                *first = at.min(*first);
            }
        }
        firsts
    }

    fn days(&self) -> HashSet<NaiveDate> {
        self.rows.iter().map(|(_, row)| time(row.at).date_naive()).collect()
    }
}

impl CountKey {
    fn of(row: &Row) -> Self {
        Self {
            hour: hour(row.at),
            organisation_id: row.owner.map(|owner| owner.organisation_id),
            client_id: row.owner.map(|owner| owner.client_id),
            domain_id: row.owner.map_or(Uuid::nil(), |owner| owner.domain_id),
            hostname: row.hostname.clone(),
            model_family: row.model_family.clone().into_owned(),
            outcome: row.outcome.clone().into_owned(),
        }
    }

    fn of_strangers(at: i64, model_family: String) -> Self {
        Self {
            hour: hour(at),
            organisation_id: None,
            client_id: None,
            domain_id: Uuid::nil(),
            hostname: String::new(),
            model_family,
            outcome: "unknown_domain".to_owned(),
        }
    }
}

/// From microseconds.
#[must_use]
pub fn time(at: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or_default()
}

fn hour(at: i64) -> DateTime<Utc> {
    let at = time(at);
    at - TimeDelta::seconds(at.timestamp() % 3600) - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_by_the_hour() {
        assert_eq!(hour(1_795_418_356_123_456).to_rfc3339(), "2026-11-23T07:00:00+00:00");
    }
}
