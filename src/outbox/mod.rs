//! What is to be told to somebody outside: a row, written in the transaction that it tells of, and sent after. Each
//! row is claimed by lease, so that of several nodes one sends it; a mail may arrive twice if that node dies between
//! sending and noting it, and never not at all. Events are handed to `webhooks`, which brings them further.
pub mod event;
pub mod store;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::{self, DatabaseTime},
    mail::{Mail, MailError, Mailer},
    sealed::Keyring,
};

const LOOK: Duration = Duration::from_secs(1);
/// Longer than a mail server may take.
const LEASE: TimeDelta = TimeDelta::minutes(3);
const AT_ONCE: i64 = 10;
/// Ten attempts take about two days.
const ATTEMPTS: i32 = 10;
/// For whoever looks for a mail that did not come, and on a demo server for who reads it there.
pub const KEPT: TimeDelta = TimeDelta::days(7);
/// That a certificate was warned of is known for longer than any certificate lasts.
pub const EVENTS_KEPT: TimeDelta = TimeDelta::days(400);

/// Puts a mail in the outbox.
pub async fn post(
    db: &mut PgConnection,
    keyring: &Keyring,
    organisation_id: Option<Uuid>,
    mail: &Mail,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let outbox_id = Uuid::now_v7();
    let text = serde_json::to_vec(mail).unwrap_or_default();
    let sealed = keyring.seal(&context(outbox_id), &text);
    store::insert_mail(db, outbox_id, organisation_id, &sealed, now).await
}

/// What a sealed mail is bound to.
#[must_use]
pub fn context(outbox_id: Uuid) -> String {
    format!("outbox:{outbox_id}")
}

#[must_use]
pub fn open(keyring: &Keyring, outbox_id: Uuid, sealed: &[u8]) -> Option<Mail> {
    let text = keyring.open(&context(outbox_id), sealed).ok()?;
    serde_json::from_slice(&text).ok()
}

/// When it is tried again; `None`: not at all.
#[must_use]
pub fn next_attempt(attempts: i32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (attempts < ATTEMPTS).then(|| now + TimeDelta::minutes(1 << (attempts + 1).clamp(0, 10)))
}

/// Brings mails to the mail server.
pub struct Postman {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub mailer: Mailer,
}

impl Postman {
    /// Until `cancel`. Nothing that goes wrong ends it.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let sent = tokio::select! {
                () = cancel.cancelled() => return,
                sent = self.round_as_of_now() => sent,
            };
            match sent {
                Ok(sent) if sent > 0 => continue,
                Ok(_) => {}
                Err(error) => crate::telemetry::log_failed_work("mails wait", error),
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn round_as_of_now(&self) -> Result<usize, sqlx::Error> {
        self.round(clock::read(&self.pool).await?).await
    }

    /// Returns how many were tried.
    pub async fn round(&self, now: DatabaseTime) -> Result<usize, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let due = store::claim_mails(&mut db, now, now + LEASE, AT_ONCE).await?;
        drop(db);
        let tried = due.len();
        futures_util::future::try_join_all(due.into_iter().map(|due| self.bring(due))).await?;
        Ok(tried)
    }

    async fn bring(&self, due: store::Due) -> Result<(), sqlx::Error> {
        let sent = match open(&self.keyring, due.outbox_id, &due.sealed) {
            Some(mail) => self.mailer.send(due.outbox_id, &mail).await,
            // Sealed under a key that only another node has, it is opened there.
            None => Err(MailError::Later(
                "it can't be opened with this node's secret keys".to_owned(),
            )),
        };
        let (mut db, now) = clock::acquire(&self.pool).await?;
        match sent {
            Ok(()) => store::set_sent(&mut db, due.outbox_id, now).await,
            Err(error) => {
                tracing::warn!(outbox.id = %due.outbox_id, attempts = due.attempts, %error, "a mail is not sent");
                let again = match error {
                    MailError::Refused(_) => None,
                    MailError::Later(_) => next_attempt(due.attempts, now.get()),
                };
                store::set_failed(&mut db, due.outbox_id, &error.to_string(), again, now).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_tried_for_two_days_and_then_given_up() {
        let now = DateTime::UNIX_EPOCH;
        let waits: Vec<_> = (1..=ATTEMPTS)
            .map(|attempts| next_attempt(attempts, now).map(|at| (at - now).num_minutes()))
            .collect();
        assert_eq!(waits[..3], [Some(4), Some(8), Some(16)]);
        assert_eq!(waits[9], None);
        let hours = waits.iter().flatten().sum::<i64>() / 60;
        assert!((24..72).contains(&hours), "{hours}");
    }
}
