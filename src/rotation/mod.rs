//! After a new secret key was put first: brings everything that the database holds under it, so that the old one can
//! be taken away. In the background, in small transactions, by one node at a time; who dies is followed by another,
//! which begins at the start and finds what is left.
//!
//! What lies on a node's own disk comes under it elsewhere: the internal CA's key when it is opened, the snapshot when
//! the publisher hears that the database is through.
mod column;
mod people;
mod store;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};

use crate::{
    clock::DatabaseTime,
    keyring::{self, store::Usage},
    sealed::Keyring,
};
pub use column::Column;
use store::{Place, Resealed, Row};

const BATCH: i64 = 500;
/// Between two batches: others write as well.
const PAUSE: Duration = Duration::from_millis(20);
/// With nothing to do, the heads of all sealed values are read this often.
const LOOKED_AT_EVERY: TimeDelta = TimeDelta::hours(1);
/// While another node is at it.
const LOOKED_AT_SOON: TimeDelta = TimeDelta::minutes(1);

/// How many rows are not sealed under this node's first key, as last seen. For metrics.
#[derive(Default)]
pub struct Left {
    rows: [AtomicU64; Column::ALL.len()],
    is_known: AtomicBool,
    /// Seconds since 1970.
    look_at: AtomicI64,
}

impl Left {
    /// By table; nothing before the first look.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let rows = self.rows.iter().map(|rows| rows.load(Ordering::Relaxed));
        let known = match self.is_known.load(Ordering::Acquire) {
            true => Column::ALL.len(),
            false => 0,
        };
        Column::ALL.iter().map(|column| column.as_str()).zip(rows).take(known)
    }

    fn note(&self, usage: &[Usage]) {
        for (column, left) in Column::ALL.iter().zip(&self.rows) {
            let of_column = usage.iter().filter(|usage| usage.table == column.as_str());
            let rows: i64 = of_column.map(|usage| usage.rows).sum();
            left.store(u64::try_from(rows).unwrap_or_default(), Ordering::Relaxed);
        }
        self.is_known.store(true, Ordering::Release);
    }
}

pub struct Rotation {
    pool: PgPool,
    keyring: Arc<Keyring>,
    pub left: Arc<Left>,
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was under the first key.
    Nothing,
    /// Everything is now.
    Done { resealed: u64 },
    /// Another node is at it.
    Elsewhere,
    /// Another node has a newer first key: this one's file is out of date.
    Outdated,
    /// What is left does not open, or is new from a node with an older first key.
    Stuck { rows: u64 },
}

impl Rotation {
    #[must_use]
    pub fn new(pool: PgPool, keyring: Arc<Keyring>) -> Self {
        Self {
            pool,
            keyring,
            left: Arc::default(),
        }
    }

    /// Looks, if it is time to, and brings under the first key what is not. For a periodic job.
    pub async fn run(&self, now: DatabaseTime) -> Result<(), sqlx::Error> {
        if now.get().timestamp() < self.left.look_at.load(Ordering::Relaxed) {
            return Ok(());
        }
        let key = self.keyring.current();
        let outcome = self.run_once().await?;
        match outcome {
            Outcome::Nothing | Outcome::Elsewhere => {}
            Outcome::Done { resealed } => {
                tracing::info!(%key, resealed, "everything in the database is sealed under the first secret key");
            }
            Outcome::Outdated => {
                tracing::warn!(%key, "another secret key has come first since: this node's secret key file is out of date");
            }
            Outcome::Stuck { rows } => {
                tracing::warn!(%key, rows, "some values are not sealed under the first secret key: they do not open, or another node still seals under an older one");
            }
        }
        let pause = match outcome {
            Outcome::Elsewhere => LOOKED_AT_SOON,
            Outcome::Nothing | Outcome::Done { .. } | Outcome::Outdated | Outcome::Stuck { .. } => LOOKED_AT_EVERY,
        };
        self.left
            .look_at
            .store((now + pause).get().timestamp(), Ordering::Relaxed);
        Ok(())
    }

    /// The whole of it, now.
    pub async fn run_once(&self) -> Result<Outcome, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let key = self.keyring.current();
        // One key, and there was never another: nothing to look at.
        if keyring::store::list(&mut db).await?.len() < 2 {
            self.left.note(&[]);
            return Ok(Outcome::Nothing);
        }
        let is_told = keyring::store::resealed_at(&mut db, key.as_bytes()).await?.is_some();
        let before = self.look(&mut db).await?;
        if before == 0 && is_told {
            return Ok(Outcome::Nothing);
        }
        if !keyring::store::is_newest(&mut db, key.as_bytes()).await? {
            return Ok(Outcome::Outdated);
        }
        drop(db);
        let mut resealed = 0;
        for column in Column::ALL {
            match self.reseal(column).await? {
                Some(rows) => resealed += rows,
                None => return Ok(Outcome::Elsewhere),
            }
        }
        let mut db = self.pool.acquire().await?;
        match self.look(&mut db).await? {
            0 => {
                keyring::store::complete(&mut db, key.as_bytes()).await?;
                Ok(Outcome::Done { resealed })
            }
            rows => Ok(Outcome::Stuck { rows }),
        }
    }

    async fn look(&self, db: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let mut usage = keyring::store::usage(db).await?;
        let key = self.keyring.current();
        usage.retain(|usage| usage.key_id != key.as_bytes());
        self.left.note(&usage);
        Ok(self.left.iter().map(|(_, rows)| rows).sum())
    }

    /// A whole table, batch by batch. `None`: another node is at it.
    async fn reseal(&self, column: Column) -> Result<Option<u64>, sqlx::Error> {
        let (mut after, mut resealed) = (Place::default(), 0);
        loop {
            let mut tx = self.pool.begin().await?;
            if !keyring::store::claim(&mut tx, self.keyring.current().as_bytes()).await? {
                return Ok(None);
            }
            let rows = store::list(&mut tx, column, self.keyring.current(), &after, BATCH).await?;
            let last = rows.last().map(Row::place);
            store::make_quiet(&mut tx).await?;
            resealed += store::update(&mut tx, column, &self.resealed(column, rows)).await?;
            // Also with nothing done: what is only dropped holds its claim until its connection is used again.
            tx.commit().await?;
            match last {
                Some(last) => after = last,
                None => return Ok(Some(resealed)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What does not open is left as it is.
    fn resealed(&self, column: Column, rows: Vec<Row>) -> Resealed {
        let mut resealed = Resealed::default();
        for row in rows {
            let place = row.place();
            let context = column.context(&place);
            let fresh = context.and_then(|context| self.keyring.reseal(&context, &row.sealed).ok());
            if let Some(fresh) = fresh {
                resealed.push(place, row.sealed, fresh);
            }
        }
        resealed
    }
}
