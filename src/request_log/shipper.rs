//! Carries the spool to Postgres: rows, counts and the spool's position in one transaction, so that
//! a crash anywhere ships every request exactly once.
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    batch::{Batch, CountKey, request_id},
    positions::{self, Positions},
    record::Record,
    spool::{Spool, Taken},
    store,
};
use crate::{clock::DatabaseTime, outbox::event};

/// Records that are shipped at once.
pub const BATCH: usize = 4_000;
/// Between two looks at an empty spool.
const IDLE: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// A database that takes longer for a batch is frozen: it is asked again, and says itself whether the batch is written.
const PATIENCE: Duration = Duration::from_secs(60);
/// A database that failed over may be set back behind what it said it had: it is asked so often.
const RECHECK: Duration = Duration::from_secs(5);
/// While requests come in faster than they are shipped, shipping rests this many times as long as it
/// works: devices come first on a busy machine, and the spool waits on disk.
const REST: u32 = 9;

pub struct Shipper {
    pool: PgPool,
    spool: Arc<Spool>,
    shipped: AtomicU64,
    damaged: AtomicU64,
    /// Where this process stopped shipping: an empty spool then costs the database nothing.
    reached: Mutex<Option<(Positions, Instant)>>,
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
            damaged: AtomicU64::new(0),
            reached: Mutex::new(None),
        }
    }

    /// Records shipped since the start.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.shipped.load(Ordering::Relaxed)
    }

    /// Places in the spool where something stood that could not be read and is lost, since the start.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Ships until `cancel`. Neither a spool nor a database that fails ends it: it tries again.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut is_failing = false;
        loop {
            let (started, before) = (Instant::now(), self.unshipped());
            let shipped = tokio::time::timeout(PATIENCE, self.ship_next()).await;
            let result = shipped.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
            let is_falling_behind = self.unshipped() > before;
            is_failing &= result.is_err();
            let pause = match result {
                Ok(true) if is_falling_behind => (started.elapsed() * REST).min(RETRY),
                Ok(true) => Duration::ZERO,
                Ok(false) => IDLE,
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        crate::telemetry::log_failed_work("the request log waits on disk", error);
                    }
                    RETRY
                }
            };
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

    /// Bytes of the spool that are not known to be shipped.
    #[must_use]
    pub fn unshipped(&self) -> u64 {
        match &*self.reached() {
            Some((reached, _)) => self.spool.unshipped(reached),
            None => self.spool.unshipped(&Positions::default()),
        }
    }

    /// Ships what is there, up to a batch. `false`: there is nothing.
    pub async fn ship_next(&self) -> Result<bool, ShipError> {
        if !self.has_more().await? {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        let mut positions = positions::store::lock_positions(&mut tx, self.spool.id()).await?;
        let taken = self.read(positions.clone()).await?;
        if taken.is_empty() {
            self.set_reached(positions);
            return Ok(false);
        }
        let moved: Vec<_> = taken.iter().map(|taken| (taken.segment, taken.to)).collect();
        let damaged: u64 = taken.iter().map(|taken| taken.read.damaged).sum();
        let records: Vec<_> = taken.into_iter().flat_map(|taken| taken.read.records).collect();
        let count = records.len() as u64;
        let batch = Self::batch(records);
        batch.write(&mut tx).await?;
        tell_first(&mut tx, &batch).await?;
        positions::store::set_positions(&mut tx, self.spool.id(), moved.iter().copied(), self.spool.oldest()).await?;
        tx.commit().await?;
        self.shipped.fetch_add(count, Ordering::Relaxed);
        if damaged > 0 {
            self.damaged.fetch_add(damaged, Ordering::Relaxed);
            tracing::error!(
                damaged,
                "the request log was damaged on disk: some requests of an earlier time are lost"
            );
        }
        positions.segments.extend(moved);
        self.set_reached(positions);
        Ok(true)
    }

    /// Whether there may be something to ship. An empty spool costs the database next to nothing.
    async fn has_more(&self) -> Result<bool, ShipError> {
        let due = match &*self.reached() {
            None => return Ok(true),
            Some((reached, _)) if self.spool.unshipped(reached) > 0 => return Ok(true),
            Some((_, at)) => at.elapsed() >= RECHECK,
        };
        if due {
            let mut db = self.pool.acquire().await?;
            let positions = positions::store::list_positions(&mut db, self.spool.id()).await?;
            let is_set_back = self.spool.unshipped(&positions) > 0;
            self.set_reached(positions);
            return Ok(is_set_back);
        }
        Ok(false)
    }

    async fn read(&self, from: Positions) -> Result<Vec<Taken>, ShipError> {
        let spool = self.spool.clone();
        Ok(tokio::task::spawn_blocking(move || spool.read(&from, BATCH))
            .await
            .map_err(std::io::Error::other)??)
    }

    /// Deletes from the spool what is known to be shipped, after a while. Asks the disk.
    pub fn forget_shipped(&self, now: std::time::Instant) -> std::io::Result<()> {
        let reached = self.reached().as_ref().map(|(positions, _)| positions.clone());
        reached.map_or(Ok(()), |positions| self.spool.forget_shipped(&positions, now))
    }

    fn set_reached(&self, positions: Positions) {
        *self.reached() = Some((positions, Instant::now()));
    }

    fn reached(&self) -> MutexGuard<'_, Option<(Positions, Instant)>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batch(records: Vec<Record<'static>>) -> Batch {
        let mut batch = Batch::default();
        for record in records {
            match record {
                Record::Hit(row) => batch.add(request_id(row.at), row),
                Record::Stranger(row) => batch.rows.push((request_id(row.at), row)),
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
}

/// Says, once a domain, that a device has asked.
async fn tell_first(db: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let now = DatabaseTime::read(db).await?;
    for (subject, at) in store::insert_first(db, &batch.firsts()).await? {
        event::tell(db, event::Kind::DomainFirstRequest, &subject, json!({ "at": at }), now).await?;
    }
    Ok(())
}
