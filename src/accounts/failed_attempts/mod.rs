//! Limits on guessing passwords and codes. Failed attempts are counted by what is guessed and by who guesses, so that a
//! stranger's failures never delay a browser in which the person has signed in before.
//!
//! A source of its own (a known browser, a session, a network) waits longer after each failure. All unknown browsers
//! together have one more counter per subject, which bounds guesses from many networks; its wait is short and constant,
//! so that an attacker can't lengthen it.
pub mod store;

use aws_lc_rs::digest;
use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Member;
use crate::clock::DatabaseTime;

/// Failures of one source that are followed by no wait: people mistype.
const FREE_FAILURES: i32 = 5;
/// Longest wait of one source. The wait doubles up to it.
const MAX_SOURCE_WAIT: TimeDelta = TimeDelta::minutes(15);
/// Failures are not counted beyond this number.
const MAX_FAILURES: i32 = 1_000_000;
/// A counter without another failure for this long starts again.
pub const RETENTION: TimeDelta = TimeDelta::hours(24);
/// Source of the counter that all unknown browsers share.
const ALL_UNKNOWN: &str = "unknown";

/// What is guessed.
pub struct Subject {
    digest: Vec<u8>,
    shared: SharedLimit,
}

/// Limit for all unknown browsers together.
#[derive(Clone, Copy)]
struct SharedLimit {
    free_failures: i32,
    interval: TimeDelta,
}

/// At most 100 and then 2,880 guesses a day, against 15 characters.
const PASSWORD_LIMIT: SharedLimit = SharedLimit {
    free_failures: 100,
    interval: TimeDelta::seconds(30),
};
/// Six digits are guessed sooner: at most 10 and then 96 a day, and only after the right password.
const CODE_LIMIT: SharedLimit = SharedLimit {
    free_failures: 10,
    interval: TimeDelta::minutes(15),
};

impl Subject {
    /// The password of an address, whether it has an account or not.
    #[must_use]
    pub fn password(email_digest: &[u8]) -> Self {
        Self {
            digest: email_digest.to_vec(),
            shared: PASSWORD_LIMIT,
        }
    }

    /// The one-time and recovery codes of a person.
    #[must_use]
    pub fn second_factor(user_id: Uuid) -> Self {
        Self::of_person("second_factors", user_id, CODE_LIMIT)
    }

    /// The password of a person who is signed in and has to show it again.
    #[must_use]
    pub fn reauthentication(user_id: Uuid) -> Self {
        Self::of_person("reauthentication", user_id, PASSWORD_LIMIT)
    }

    fn of_person(purpose: &str, user_id: Uuid, shared: SharedLimit) -> Self {
        let text = format!("{purpose}:{user_id}");
        Self {
            digest: digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec(),
            shared,
        }
    }
}

/// Who guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A browser in which this person has signed in before.
    KnownBrowser(Uuid),
    /// A session of this person.
    Session(Uuid),
    /// All sessions of this person that an identity provider vouched for: its administrator can open any number.
    Provider(Uuid),
    /// Any other browser, by its network.
    Unknown(Option<String>),
}

impl Source {
    /// Who guesses in a session that is open.
    #[must_use]
    pub fn of_session(member: &Member) -> Self {
        match member.identity_provider_id {
            Some(id) => Self::Provider(id),
            None => Self::Session(member.session_id),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::KnownBrowser(id) => format!("browser:{id}"),
            Self::Session(id) => format!("session:{id}"),
            Self::Provider(id) => format!("provider:{id}"),
            Self::Unknown(network) => format!("network:{}", network.as_deref().unwrap_or_default()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    #[error("there were too many failed attempts")]
    TooMany(TimeDelta),
    #[error("the failed attempts could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// One row that an attempt counts in.
struct Counter {
    source: String,
    /// `None`: the counter of one source.
    shared: Option<SharedLimit>,
}

impl Counter {
    fn of(subject: &Subject, source: &Source) -> Vec<Self> {
        let own = Self {
            source: source.text(),
            shared: None,
        };
        let all_unknown = Self {
            source: ALL_UNKNOWN.to_owned(),
            shared: Some(subject.shared),
        };
        match source {
            Source::KnownBrowser(_) | Source::Session(_) | Source::Provider(_) => vec![own],
            Source::Unknown(_) => vec![own, all_unknown],
        }
    }

    fn wait(&self, failures: i32) -> TimeDelta {
        match self.shared {
            None => source_wait(failures),
            Some(limit) if failures >= limit.free_failures => limit.interval,
            Some(_) => TimeDelta::zero(),
        }
    }

    /// The stored row, if this counter takes another attempt at `now`.
    async fn check(
        &self,
        db: &mut PgConnection,
        subject: &Subject,
        now: DatabaseTime,
    ) -> Result<Option<store::Failures>, AttemptError> {
        let found = store::find(db, &subject.digest, &self.source).await?;
        if let Some(found) = found.as_ref().filter(|found| now - found.last_at < RETENTION) {
            let wait = self.wait(found.failures);
            let until = found.last_at + wait;
            if wait > TimeDelta::zero() && until > now {
                return Err(AttemptError::TooMany(until - now));
            }
        }
        Ok(found)
    }

    /// Counts one attempt, or refuses it.
    async fn count(&self, db: &mut PgConnection, subject: &Subject, now: DatabaseTime) -> Result<(), AttemptError> {
        loop {
            let found = self.check(db, subject, now).await?;
            let current = found.as_ref().filter(|found| now - found.last_at < RETENTION);
            let next = store::Failures {
                failures: current.map_or(0, |current| current.failures).min(MAX_FAILURES) + 1,
                last_at: now.get(),
            };
            if store::count(db, (&subject.digest, &self.source), found.as_ref(), &next).await? {
                return Ok(());
            }
        }
    }
}

/// Wait after so many failures of one source.
fn source_wait(failures: i32) -> TimeDelta {
    match failures.saturating_sub(FREE_FAILURES) {
        ..=0 => TimeDelta::zero(),
        over => TimeDelta::seconds(1_i64 << over.min(10)).min(MAX_SOURCE_WAIT),
    }
}

/// Counts an attempt as failed before its result is known, or refuses it. Must run outside a transaction, so that the
/// count stays when the attempt's own work is rolled back. Concurrent attempts are judged one after the other.
pub async fn take(
    db: &mut PgConnection,
    subject: &Subject,
    source: &Source,
    now: DatabaseTime,
) -> Result<(), AttemptError> {
    let counters = Counter::of(subject, source);
    // One that refuses must do so before another one has counted.
    for counter in &counters {
        counter.check(db, subject, now).await?;
    }
    for (already, counter) in counters.iter().enumerate() {
        if let Err(error) = counter.count(db, subject, now).await {
            for counter in &counters[..already] {
                store::take_back(db, &subject.digest, &counter.source).await?;
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Undoes the count of an attempt whose result was never looked at.
pub async fn take_back(db: &mut PgConnection, subject: &Subject, source: &Source) -> Result<(), sqlx::Error> {
    for counter in Counter::of(subject, source) {
        store::take_back(db, &subject.digest, &counter.source).await?;
    }
    Ok(())
}

/// Clears the source's own counter after a success. Failures of others stay counted.
pub async fn succeed(db: &mut PgConnection, subject: &Subject, source: &Source) -> Result<(), sqlx::Error> {
    for counter in Counter::of(subject, source) {
        match counter.shared {
            None => store::delete(db, &subject.digest, Some(&counter.source)).await?,
            Some(_) => store::take_back(db, &subject.digest, &counter.source).await?,
        }
    }
    Ok(())
}

/// Clears the counters of every source.
pub async fn clear(db: &mut PgConnection, subject: &Subject) -> Result<(), sqlx::Error> {
    store::delete(db, &subject.digest, None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_of_one_source_doubles_up_to_a_quarter_of_an_hour() {
        for (failures, seconds) in [
            (0, 0),
            (1, 0),
            (5, 0),
            (6, 2),
            (7, 4),
            (10, 32),
            (14, 512),
            (15, 900),
            (1_000, 900),
            (i32::MAX, 900),
        ] {
            assert_eq!(source_wait(failures), TimeDelta::seconds(seconds), "{failures}");
        }
    }

    #[test]
    fn the_wait_that_all_unknown_browsers_share_does_not_grow() {
        let email = Subject::password(b"digest");
        let person = Subject::second_factor(Uuid::nil());
        let unknown = Source::Unknown(Some("203.0.113.0/24".to_owned()));
        for (subject, free, interval) in [(&email, 100, 30), (&person, 10, 900)] {
            let counters = Counter::of(subject, &unknown);
            assert_eq!(counters.len(), 2);
            let shared = &counters[1];
            assert_eq!(shared.wait(free - 1), TimeDelta::zero());
            for failures in [free, free + 1, 10 * free, i32::MAX] {
                assert_eq!(shared.wait(failures), TimeDelta::seconds(interval), "{failures}");
            }
        }
    }

    #[test]
    fn only_unknown_browsers_share_a_counter() {
        let subject = Subject::password(b"digest");
        for source in [
            Source::KnownBrowser(Uuid::nil()),
            Source::Session(Uuid::nil()),
            Source::Provider(Uuid::nil()),
        ] {
            let counters = Counter::of(&subject, &source);
            assert!(counters.len() == 1 && counters[0].shared.is_none(), "{source:?}");
        }
    }
}
