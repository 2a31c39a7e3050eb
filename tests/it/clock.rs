//! What time it is in a test. Everything runs on one machine: the clock of a node is the clock of the database.
use chrono::{DateTime, Utc};
use signpost::clock::{self, DatabaseTime};

#[expect(clippy::disallowed_methods, reason = "on this machine it is the database's time")]
pub fn now() -> DateTime<Utc> {
    clock::now()
}

/// What the database would say.
pub fn database_now() -> DatabaseTime {
    assume(now())
}

/// The time of the database, as a test chooses it.
#[expect(clippy::disallowed_methods, reason = "a test moves the clock")]
pub fn assume(at: DateTime<Utc>) -> DatabaseTime {
    DatabaseTime::assumed(at)
}
