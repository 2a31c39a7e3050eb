//! Watches how far this node's clock is from the database's. A node whose clock is wrong must not decide what expires,
//! renews or is deleted: background work waits until the clocks agree. Devices, challenges, handlers and deliveries go on.
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Clocks that differ by more are not trusted.
pub const MAX_OFFSET: TimeDelta = TimeDelta::seconds(30);
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const MEASURE_TIMEOUT: Duration = Duration::from_secs(5);
/// A clock stays trusted for so long without a measurement: the database is busy, or away for a moment.
const MEASUREMENT_LIFETIME: Duration = Duration::from_secs(30);
const NOT_MEASURED: i64 = i64::MIN;

/// The offset of this node's clock, as it was measured last. Shared by the workers and the ops listener.
pub struct ClockWatch {
    /// Milliseconds by which this node's clock is ahead of the database's.
    offset_ms: AtomicI64,
    is_trusted: watch::Sender<bool>,
    measured_at: Mutex<Option<Instant>>,
}

impl Default for ClockWatch {
    /// Not measured yet, and so not trusted.
    fn default() -> Self {
        Self {
            offset_ms: AtomicI64::new(NOT_MEASURED),
            is_trusted: watch::Sender::new(false),
            measured_at: Mutex::default(),
        }
    }
}

/// One measurement: the database's clock, and this node's before the query was sent and after the answer.
#[derive(Clone, Copy)]
struct Measurement {
    before: DateTime<Utc>,
    database: DateTime<Utc>,
    after: DateTime<Utc>,
}

impl Measurement {
    /// Positive: this node's clock is ahead.
    fn offset(self) -> TimeDelta {
        self.before + (self.after - self.before) / 2 - self.database
    }

    /// Whether the clocks differ by more than [`MAX_OFFSET`] wherever within the round trip the database answered.
    fn is_off(self) -> bool {
        let uncertainty = ((self.after - self.before) / 2).abs();
        self.offset().abs() - uncertainty > MAX_OFFSET
    }
}

impl ClockWatch {
    /// How far this node's clock is ahead of the database's. `None`: no measurement has succeeded yet.
    #[must_use]
    pub fn offset(&self) -> Option<TimeDelta> {
        Some(self.offset_ms.load(Ordering::Relaxed))
            .filter(|offset| *offset != NOT_MEASURED)
            .map(TimeDelta::milliseconds)
    }

    /// Whether the clocks agreed when they were measured last, within the last 30 seconds.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        *self.is_trusted.borrow()
    }

    /// Returns at once while the clock is trusted, otherwise when it is again.
    pub async fn wait_until_trusted(&self) {
        let mut changes = self.is_trusted.subscribe();
        // The sender is in `self`: it is not dropped meanwhile.
        changes.wait_for(|is_trusted| *is_trusted).await.ok();
    }

    /// A line for `/readyz`. `None`: the clocks agree, or the offset is not known.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let offset = self.offset().filter(|offset| offset.abs() > MAX_OFFSET)?;
        let seconds = offset.num_seconds().abs();
        let direction = if offset > TimeDelta::zero() {
            "ahead of"
        } else {
            "behind"
        };
        Some(format!(
            "clock: {seconds} s {direction} the database's: no jobs, checks or certificate orders on this node until its clock is set"
        ))
    }

    /// Measures once a second until `cancel`.
    pub async fn run(&self, pool: &PgPool, cancel: CancellationToken) {
        loop {
            let measured = tokio::time::timeout(MEASURE_TIMEOUT, measure(pool)).await;
            self.set(measured.ok().and_then(Result::ok));
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// After [`MEASUREMENT_LIFETIME`] without a measurement the last offset stays known, but the clock is not trusted: it
    /// may have been set while the database was away.
    fn set(&self, measurement: Option<Measurement>) {
        let mut measured_at = self.measured_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(measurement) = measurement else {
            if measured_at.is_none_or(|at| at.elapsed() >= MEASUREMENT_LIFETIME) {
                self.set_trusted(false);
            }
            return;
        };
        *measured_at = Some(Instant::now());
        let was_off = self.problem().is_some();
        let offset = measurement.offset();
        self.offset_ms.store(offset.num_milliseconds(), Ordering::Relaxed);
        match (was_off, measurement.is_off()) {
            (false, true) => tracing::warn!(
                event = "clock.off",
                offset_seconds = offset.num_seconds(),
                "this node's clock differs from the database's: it runs no jobs and orders no certificates until its clock is set"
            ),
            (true, false) => tracing::info!(
                event = "clock.agrees",
                "this node's clock agrees with the database's again"
            ),
            _ => {}
        }
        self.set_trusted(!measurement.is_off());
    }

    fn set_trusted(&self, is_trusted: bool) {
        self.is_trusted
            .send_if_modified(|trusted| std::mem::replace(trusted, is_trusted) != is_trusted);
    }
}

#[expect(clippy::disallowed_methods, reason = "this measures the node's clock")]
fn node_clock() -> DateTime<Utc> {
    crate::clock::now()
}

async fn measure(pool: &PgPool) -> Result<Measurement, sqlx::Error> {
    let mut db = pool.acquire().await?;
    let before = node_clock();
    let database = crate::clock::DatabaseTime::read(&mut db).await?.get();
    Ok(Measurement {
        before,
        database,
        after: node_clock(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn measured(before: i64, database: i64, after: i64) -> Measurement {
        Measurement {
            before: at(before),
            database: at(database),
            after: at(after),
        }
    }

    #[test]
    fn a_clock_is_off_when_it_differs_by_more_than_thirty_seconds_and_the_round_trip() {
        for (before, database, after, offset, is_off) in [
            (100, 100, 100, 0, false),
            (130, 100, 130, 30, false),
            (131, 100, 131, 31, true),
            (70, 100, 70, -30, false),
            (69, 100, 69, -31, true),
            // The answer took 20 s: the clocks may agree to within 25 s.
            (125, 100, 145, 35, false),
            (7_776_000, 0, 7_776_000, 7_776_000, true),
        ] {
            let measurement = measured(before, database, after);
            assert_eq!(measurement.offset(), TimeDelta::seconds(offset));
            assert_eq!(measurement.is_off(), is_off, "{before} {database} {after}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_waits_until_a_measurement_shows_that_the_clocks_agree() {
        let clock = ClockWatch::default();
        assert!(!clock.is_trusted() && clock.offset().is_none() && clock.problem().is_none());
        clock.set(Some(measured(0, 0, 0)));
        assert!(clock.is_trusted());
        clock.wait_until_trusted().await;
        clock.set(None);
        assert!(clock.is_trusted(), "the database may be busy");
        tokio::time::advance(MEASUREMENT_LIFETIME).await;
        clock.set(None);
        assert!(!clock.is_trusted(), "the database is away");
        assert_eq!(clock.offset(), Some(TimeDelta::zero()));
        clock.set(Some(measured(7_200, 0, 7_200)));
        assert!(!clock.is_trusted());
        assert!(
            clock
                .problem()
                .is_some_and(|problem| problem.starts_with("clock: 7200 s ahead of"))
        );
        clock.set(Some(measured(0, 60, 0)));
        assert!(
            clock
                .problem()
                .is_some_and(|problem| problem.starts_with("clock: 60 s behind"))
        );
        let (waited, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(60), clock.wait_until_trusted()),
            async { clock.set(Some(measured(1, 0, 1))) }
        );
        assert!(waited.is_ok() && clock.is_trusted() && clock.problem().is_none());
    }
}
