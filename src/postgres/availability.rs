//! What a node knows of its database: reachable, read-only, or away. Fed by the watch of the primary, which looks once a
//! second, and by requests that failed, which make it look at once. Logs each change of state once.
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::Error;
use tokio::sync::Notify;

use super::DatabaseFault;

/// Between two log lines that count failed requests.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Whether the log says already that the database is away or read-only. Of the process: used for nothing but its log.
static IS_LOGGED: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Writable,
    ReadOnly,
    Away,
}

/// Starts as writable: nothing is known to the contrary.
pub struct Availability {
    state: AtomicU8,
    /// When the server last began or ceased to take writes.
    changed_at: Mutex<Option<Instant>>,
    failures: Mutex<Failures>,
    failed: Notify,
}

/// Requests that failed although the database is reachable, since the last log line.
#[derive(Default)]
struct Failures {
    count: u64,
    last: String,
    logged_at: Option<Instant>,
}

impl Default for Availability {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(State::Writable as u8),
            changed_at: Mutex::default(),
            failures: Mutex::default(),
            failed: Notify::new(),
        }
    }
}

impl Availability {
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            state if state == State::Away as u8 => State::Away,
            state if state == State::ReadOnly as u8 => State::ReadOnly,
            _ => State::Writable,
        }
    }

    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state() == State::Away
    }

    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.state() == State::ReadOnly
    }

    /// Takes the database for away from the start, which the caller has logged.
    pub fn begin_away(&self) {
        IS_LOGGED.store(true, Ordering::Relaxed);
        self.state.store(State::Away as u8, Ordering::Relaxed);
    }

    /// Notes that a request failed: the watch looks at once.
    pub fn report(&self, fault: DatabaseFault, error: &str) {
        match fault {
            // Says nothing of the server.
            DatabaseFault::Conflict => {}
            DatabaseFault::ReadOnly => return self.failed.notify_one(),
            _ => self.failed.notify_one(),
        }
        let mut failures = self.failures();
        failures.count += 1;
        error.clone_into(&mut failures.last);
    }

    /// Returns when a request has failed since the last call.
    pub(super) async fn failed(&self) {
        self.failed.notified().await;
    }

    /// The database answers.
    pub(super) fn set_reachable(&self, is_read_only: bool) {
        let state = if is_read_only { State::ReadOnly } else { State::Writable };
        let before = self.replace(state);
        match (before, state) {
            (State::Away, State::ReadOnly) => tracing::warn!(
                event = "database.read_only",
                "the database is back and read-only: it can be read, and nothing can be changed"
            ),
            (State::Away, _) => tracing::info!(event = "database.available", "the database is back"),
            (State::Writable, State::ReadOnly) => tracing::warn!(
                event = "database.read_only",
                "the database is read-only: it can be read, and nothing can be changed"
            ),
            (State::ReadOnly, State::Writable) => {
                tracing::info!(event = "database.writable", "the database takes changes again");
            }
            (State::ReadOnly | State::Writable, _) => {}
        }
        self.log_failures();
    }

    pub(super) fn set_away(&self, error: &Error) {
        if self.replace(State::Away) != State::Away {
            tracing::warn!(
                event = "database.away",
                %error,
                "the database is away: serving what is in memory"
            );
        }
        // The line above is about them.
        self.failures().count = 0;
    }

    /// Whether a connection of this age was made before the server began or ceased to take writes. A session keeps the
    /// setting that it began with.
    pub(super) fn is_outdated(&self, age: Duration) -> bool {
        let changed_at = *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner);
        changed_at.is_some_and(|changed_at| age > changed_at.elapsed())
    }

    fn replace(&self, state: State) -> State {
        IS_LOGGED.store(state != State::Writable, Ordering::Relaxed);
        let before = self.state();
        if before != state && (before == State::ReadOnly || state == State::ReadOnly) {
            *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.state.store(state as u8, Ordering::Relaxed);
        before
    }

    fn log_failures(&self) {
        let mut failures = self.failures();
        let is_due = failures.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if failures.count > 0 && is_due {
            tracing::warn!(
                event = "database.requests_failed",
                requests = failures.count,
                error = failures.last,
                "requests failed because of the database"
            );
            failures.count = 0;
            failures.logged_at = Some(Instant::now());
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether background work that failed for this reason needs no log line of its own: the watch of the database logs an
/// outage, or has done so.
#[must_use]
pub fn is_logged_elsewhere(fault: DatabaseFault) -> bool {
    match fault {
        DatabaseFault::Unreachable | DatabaseFault::ReadOnly => true,
        DatabaseFault::Refused | DatabaseFault::Exhausted | DatabaseFault::TimedOut | DatabaseFault::Conflict => {
            IS_LOGGED.load(Ordering::Relaxed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_from_before_a_change_of_read_only_are_outdated() {
        let availability = Availability::default();
        assert!(!availability.is_outdated(Duration::from_secs(3600)));
        availability.set_away(&Error::PoolTimedOut);
        assert!(availability.is_away() && !availability.is_outdated(Duration::from_secs(3600)));
        availability.set_reachable(false);
        assert!(!availability.is_outdated(Duration::from_secs(3600)));
        availability.set_reachable(true);
        assert!(availability.is_read_only());
        assert!(availability.is_outdated(Duration::from_secs(3600)));
        assert!(!availability.is_outdated(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_failed_request_makes_the_watch_look_and_a_conflict_does_not() {
        let availability = Availability::default();
        availability.report(DatabaseFault::Conflict, "a deadlock");
        let looks = tokio::time::timeout(Duration::ZERO, availability.failed()).await;
        assert!(looks.is_err());
        availability.report(DatabaseFault::Unreachable, "cut off");
        availability.failed().await;
    }
}
