//! Certificates of our own CA: signed on the spot, many in one transaction.
use sqlx::PgConnection;

use super::{AFTER_A_FAULT, Obtainer, places::Room};
use crate::{
    certificates::{
        Issued,
        decisions::{lifetime, renewal},
        failure::Failure,
        internal::InternalCa,
        key_context,
        store::{self, NewCertificate},
        told,
        turns::{self, Postponed, Turn},
    },
    clock::{self, DatabaseTime},
};

/// At once: it is quick.
const BATCH: usize = 200;

/// One batch after the other.
pub(super) fn room(held: &[Turn]) -> Room {
    Room {
        limit: if held.is_empty() { BATCH } else { 0 },
        crowded: Vec::new(),
    }
}

impl Obtainer {
    /// The internal CA's, all in one transaction.
    pub(super) async fn issue(&self, ca: &InternalCa, turns: &[Turn], now: DatabaseTime) -> Result<(), sqlx::Error> {
        let issued: Vec<_> = turns
            .iter()
            .map(|turn| (turn, turn.is_eligible.then(|| ca.issue(&turn.hostname, now))))
            .collect();
        let (mut tx, now) = clock::begin(&self.pool).await?;
        for (turn, issued) in issued {
            match issued {
                None => turns::store::forget(&mut tx, &self.eligible.issuer, turn).await?,
                Some(Ok(issued)) => self.put(&mut tx, turn, issued, now).await?,
                Some(Err(error)) => {
                    tracing::warn!(domain.hostname = turn.hostname, %error, "no certificate");
                    let failure = Failure::of_us(&error.to_string(), now.get());
                    self.postpone(&mut tx, turn, failure, now).await?;
                }
            }
        }
        tx.commit().await
    }

    async fn put(
        &self,
        db: &mut PgConnection,
        turn: &Turn,
        issued: Issued,
        now: DatabaseTime,
    ) -> Result<(), sqlx::Error> {
        let Issued {
            chain,
            key,
            not_before,
            not_after,
        } = issued;
        let issuer = &self.eligible.issuer;
        let (renews_at, urgent_at) = (
            lifetime::renews_at(not_before, not_after),
            lifetime::urgent_at(not_before, not_after),
        );
        let new = NewCertificate {
            chain,
            key_sealed: self.keyring.seal(&key_context(&turn.hostname, issuer), &key),
            not_before,
            not_after,
            renews_at,
            urgent_at,
            profile: None,
            suggestion_due_at: None,
        };
        store::lock_holder(db, &turn.hostname).await?;
        if turns::store::done(db, issuer, turn, renewal::due_at(renews_at, urgent_at)).await? {
            told::put(db, issuer, turn, &new, now).await?;
        }
        Ok(())
    }

    pub(super) async fn postpone(
        &self,
        db: &mut PgConnection,
        turn: &Turn,
        failure: Failure,
        now: DatabaseTime,
    ) -> Result<(), sqlx::Error> {
        let postponed = Postponed {
            until: now.get() + AFTER_A_FAULT,
            failure,
            attempts: turn.attempts.saturating_add(1),
            is_preflight: false,
            is_failure: true,
        };
        told::postpone(db, &self.eligible.issuer, turn, &postponed, now).await
    }
}
