//! The one place that asks what time it is. Everything else takes `now` as data.
use chrono::{DateTime, SubsecRound, Utc};

/// Now, in the microseconds that Postgres keeps: what is stored and what is compared are equal.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
