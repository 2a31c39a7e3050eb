//! One table for each day of requests: made ahead, purged of what an organisation keeps for less long, and dropped when
//! nobody keeps it any more. In small transactions that wait for nobody: shipping and lists go on meanwhile.
pub mod store;

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use sqlx::PgPool;

use super::deletion::Deletion;
use crate::clock::{self, DatabaseTime};

/// Days for which rows of unknown domains are kept: as far back as operators are shown them.
pub const STRANGERS_KEPT: i32 = 7;
/// For which the counts that plots are drawn from are kept: a year, and the month to compare it with.
pub const COUNTS_KEPT: TimeDelta = TimeDelta::days(400);
/// Today's and the next three days': shipping makes what is missing, but a lock less at midnight is good.
const AHEAD: u64 = 3;
/// To drop a partition, everybody who reads requests must let go for a moment. Whoever comes meanwhile waits as well: so
/// it is tried for a moment only, and again.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Days that one run drops at most, and moves the retention on. A clock that is months ahead, also the database's, then
/// does not empty the request log at once.
const MAX_DAYS_IN_ONE_RUN: usize = 2;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    pub dropped: usize,
    /// That somebody held on to: they go next time.
    pub left: usize,
    /// Over, and more than one run may drop: they go next time.
    pub postponed: usize,
    pub purged_rows: u64,
    pub purged_counts: u64,
}

/// Makes the days to come.
pub async fn make_ahead(pool: &PgPool, now: DatabaseTime) -> Result<(), sqlx::Error> {
    for days in 0..=AHEAD {
        let mut tx = pool.begin().await?;
        store::ensure(&mut tx, now.get().date_naive() + Days::new(days)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The hourly run: deletes what is over by the database's clock, and no more than two days of it.
pub async fn run(pool: &PgPool) -> Result<Upkeep, sqlx::Error> {
    let days = i32::try_from(MAX_DAYS_IN_ONE_RUN).unwrap_or(i32::MAX);
    let as_of = move_retention(pool, days).await?;
    let done = keep_up_within(pool, as_of.time, MAX_DAYS_IN_ONE_RUN).await?;
    let days_left = as_of.behind.num_days();
    if days_left > 0 {
        tracing::warn!(
            event = "request_log.retention_limited",
            days_left,
            "requests of more than two days are over at once: this run deleted those of two days, the next runs delete the \
             rest. If the database's clock is wrong, set it; to delete the rest now, run `signpost requests prune`"
        );
    }
    Ok(done)
}

/// Deletes all that is over by the database's clock: an operator has asked for it.
pub async fn run_without_limit(pool: &PgPool) -> Result<Upkeep, sqlx::Error> {
    keep_up(pool, move_retention(pool, i32::MAX).await?.time).await
}

/// Up to when requests are deleted, and how far that is behind the database's time.
struct Retention {
    time: DatabaseTime,
    behind: TimeDelta,
}

/// Moves the retention towards the database's time, by `days` at most.
async fn move_retention(pool: &PgPool, days: i32) -> Result<Retention, sqlx::Error> {
    let (mut tx, now) = clock::begin(pool).await?;
    let behind = now - store::move_retention(&mut tx, days).await?;
    tx.commit().await?;
    Ok(Retention {
        time: now - behind,
        behind,
    })
}

/// Drops and purges what is over at `now`. Several nodes may do it at once.
pub async fn keep_up(pool: &PgPool, now: DatabaseTime) -> Result<Upkeep, sqlx::Error> {
    keep_up_within(pool, now, usize::MAX).await
}

/// [`keep_up`] that drops at most `max_days` days, the oldest first.
async fn keep_up_within(pool: &PgPool, now: DatabaseTime, max_days: usize) -> Result<Upkeep, sqlx::Error> {
    let mut done = Upkeep::default();
    let mut db = pool.acquire().await?;
    let longest = store::longest_kept(&mut db).await?.max(STRANGERS_KEPT);
    let names = store::list(&mut db).await?;
    drop(db);
    let over: Vec<String> = names
        .into_iter()
        .filter(|name| is_over(name, longest, now.get()))
        .collect();
    done.postponed = over.len().saturating_sub(max_days);
    for name in over.into_iter().take(max_days) {
        match drop_one(pool, &name).await? {
            true => done.dropped += 1,
            false => done.left += 1,
        }
    }
    if done.left > 0 {
        tracing::warn!(
            days = done.left,
            "days of the request log that are over are in use: they stay for another hour"
        );
    }
    done.purged_rows = purge_rows(pool, now).await?;
    done.purged_counts = purge_counts(pool, now - COUNTS_KEPT).await?;
    Ok(done)
}

/// Whether all of this day is older than `days`. What has no day for a name is left alone.
fn is_over(name: &str, days: i32, now: DateTime<Utc>) -> bool {
    let day = name
        .strip_prefix("requests_")
        .and_then(|day| NaiveDate::parse_from_str(day, "%Y%m%d").ok());
    let last = (now - TimeDelta::days(days.into())).date_naive();
    day.is_some_and(|day| day < last)
}

/// `false`: it was in use each time.
async fn drop_one(pool: &PgPool, name: &str) -> Result<bool, sqlx::Error> {
    for left in (0..TRIES).rev() {
        let mut tx = pool.begin().await?;
        match store::drop_now(&mut tx, name).await {
            Ok(()) => {
                tx.commit().await?;
                return Ok(true);
            }
            Err(error) if is_lock_taken(&error) => drop(tx),
            Err(error) => return Err(error),
        }
        if left > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(false)
}

/// Somebody holds it; or two who drop met.
fn is_lock_taken(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK: &str = "40P01";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE || code == DEADLOCK)
}

/// What lies in days that others keep for longer.
async fn purge_rows(pool: &PgPool, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let strangers = now - TimeDelta::days(STRANGERS_KEPT.into());
    let mut purged = Deletion::Strangers(strangers).delete(pool).await?;
    let over = store::list_over(&mut *pool.acquire().await?, now).await?;
    for (organisation_id, before) in over {
        purged += Deletion::Organisation(organisation_id, before).delete(pool).await?;
    }
    Ok(purged)
}

async fn purge_counts(pool: &PgPool, before: DatabaseTime) -> Result<u64, sqlx::Error> {
    Ok(Deletion::Counts(before).delete(pool).await? + Deletion::Totals(before).delete(pool).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_over_when_its_last_moment_is_older_than_anybody_keeps_it() {
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().expect("a time");
        for (name, days, expected) in [
            ("requests_20261023", 30, true),
            ("requests_20261024", 30, false),
            ("requests_20261115", 7, true),
            ("requests_20261116", 7, false),
            ("requests_20990101", 1, false),
            ("requests_19700101", 30, true),
            ("requests_archive", 30, false),
            ("requests", 30, false),
        ] {
            assert_eq!(is_over(name, days, now), expected, "{name} {days}");
        }
    }
}
