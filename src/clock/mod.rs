//! What time it is, by two clocks. [`now`] reads the node's own: for the hot path, metrics, the spool and what only this
//! node remembers. [`DatabaseTime`] is the database's: for everything that is stored, expires, is leased or is deleted.
//! Nodes share those rows, and the clock of one node may be wrong by months.
use std::ops::{Add, Sub};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction, pool::PoolConnection};

mod store;

/// Now by the node's clock, in the microseconds that Postgres keeps. Clippy bans it where [`DatabaseTime`] is meant.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A time by the database's clock. It is read from the database, or is some time before or after one that was: the time
/// of a node cannot be passed where this type is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatabaseTime(DateTime<Utc>);

impl DatabaseTime {
    /// `now()` of PostgreSQL, in microseconds: in a transaction, the time at which that began.
    pub async fn read(db: &mut PgConnection) -> Result<Self, sqlx::Error> {
        store::now(db).await.map(Self)
    }

    /// For tests, which choose what time it is. Clippy bans it elsewhere.
    #[must_use]
    pub fn assumed(at: DateTime<Utc>) -> Self {
        Self(at)
    }

    /// The plain time, to be stored, compared and shown.
    #[must_use]
    pub fn get(self) -> DateTime<Utc> {
        self.0
    }
}

/// Reads the time of the database where no connection is at hand.
pub async fn read(pool: &PgPool) -> Result<DatabaseTime, sqlx::Error> {
    acquire(pool).await.map(|(_, now)| now)
}

/// Begins a transaction, and reads its time.
pub async fn begin(pool: &PgPool) -> Result<(Transaction<'static, Postgres>, DatabaseTime), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let now = DatabaseTime::read(&mut tx).await?;
    Ok((tx, now))
}

/// Takes a connection, and reads the time of the database.
pub async fn acquire(pool: &PgPool) -> Result<(PoolConnection<Postgres>, DatabaseTime), sqlx::Error> {
    let mut db = pool.acquire().await?;
    let now = DatabaseTime::read(&mut db).await?;
    Ok((db, now))
}

impl Add<TimeDelta> for DatabaseTime {
    type Output = Self;

    fn add(self, delta: TimeDelta) -> Self {
        Self(self.0 + delta)
    }
}

impl Sub<TimeDelta> for DatabaseTime {
    type Output = Self;

    fn sub(self, delta: TimeDelta) -> Self {
        Self(self.0 - delta)
    }
}

impl Sub<DateTime<Utc>> for DatabaseTime {
    type Output = TimeDelta;

    fn sub(self, other: DateTime<Utc>) -> TimeDelta {
        self.0 - other
    }
}

impl Sub<DatabaseTime> for DateTime<Utc> {
    type Output = TimeDelta;

    fn sub(self, other: DatabaseTime) -> TimeDelta {
        self - other.0
    }
}

impl PartialEq<DateTime<Utc>> for DatabaseTime {
    fn eq(&self, other: &DateTime<Utc>) -> bool {
        self.0 == *other
    }
}

impl PartialOrd<DateTime<Utc>> for DatabaseTime {
    fn partial_cmp(&self, other: &DateTime<Utc>) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(other)
    }
}

impl PartialEq<DatabaseTime> for DateTime<Utc> {
    fn eq(&self, other: &DatabaseTime) -> bool {
        *self == other.0
    }
}

impl PartialOrd<DatabaseTime> for DateTime<Utc> {
    fn partial_cmp(&self, other: &DatabaseTime) -> Option<std::cmp::Ordering> {
        self.partial_cmp(&other.0)
    }
}
