//! Asks the CA when each certificate is to be renewed (RFC 9773), and keeps the time that was drawn in its window. A CA
//! that does not say changes nothing.
pub mod store;

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{
    account,
    acme::{CaError, certificate_id},
    decisions::{
        breaker::Admission,
        renewal::{self, Suggestion},
    },
    orders::Orders,
    turns,
};
use crate::{
    clock::{self, DatabaseTime},
    work::clock_watch::ClockWatch,
};
use store::Asked;

const LOOK: Duration = Duration::from_secs(30);
const AT_ONCE: i64 = 50;
/// Nobody else asks meanwhile; a failure is asked again after this.
const AGAIN: TimeDelta = TimeDelta::minutes(30);

/// What came of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The CA has no such thing, or is to be left alone.
    Unasked,
    /// So many certificates were asked about.
    Asked(usize),
}

impl Orders {
    /// Until `cancel`.
    pub async fn follow_suggestions(&self, clock: &ClockWatch, cancel: CancellationToken) {
        loop {
            let ask = async {
                clock.wait_until_trusted().await;
                self.ask_as_of_now().await
            };
            let asked = tokio::select! {
                () = cancel.cancelled() => return,
                asked = ask => asked,
            };
            match asked {
                // There may be others.
                Ok(Looked::Asked(asked)) if i64::try_from(asked).unwrap_or(i64::MAX) == AT_ONCE => continue,
                Ok(_) => {}
                Err(error) => {
                    crate::telemetry::log_failed_work("renewals are not asked about", error);
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn ask_as_of_now(&self) -> Result<Looked, sqlx::Error> {
        self.ask_when_to_renew(clock::read(&self.pool).await?).await
    }

    /// About as many as are due, and no more than a few.
    pub async fn ask_when_to_renew(&self, now: DatabaseTime) -> Result<Looked, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let breaker = account::store::find_breaker(&mut db, self.issuer()).await?;
        if breaker.unwrap_or_default().admits(now.get()) != Admission::Open {
            return Ok(Looked::Unasked);
        }
        if !store::is_any_due(&mut db, self.issuer(), now).await? {
            return Ok(Looked::Asked(0));
        }
        // A CA that does not answer now is asked when something is ordered.
        if !self.accounts.ca.offers().await.is_ok_and(|offers| offers.renewal_info) {
            return Ok(Looked::Unasked);
        }
        let due = store::claim_due(&mut db, self.issuer(), now, now + AGAIN, AT_ONCE).await?;
        drop(db);
        let asked = due.len();
        for certificate in due {
            match self.ask(&certificate, now).await? {
                Ok(()) => {}
                Err(error @ (CaError::Unreachable(_) | CaError::Timeout)) => {
                    tracing::warn!(%error, "the CA does not say when to renew");
                    // Nor of the others: they are left as they are, however many are due.
                    return Ok(Looked::Unasked);
                }
                Err(error) => {
                    tracing::info!(domain.hostname = certificate.hostname, %error, "the CA does not say when to renew");
                }
            }
        }
        Ok(Looked::Asked(asked))
    }

    async fn ask(&self, certificate: &Asked, now: DatabaseTime) -> Result<Result<(), CaError>, sqlx::Error> {
        let Some(id) = certificate_id(&certificate.leaf) else {
            return Ok(Ok(()));
        };
        let info = match self.accounts.ca.renewal_info(&id).await {
            Ok(info) => info,
            Err(error) => return Ok(Err(error)),
        };
        let retry_after = info.retry_after;
        let suggestion = Suggestion {
            start: info.start,
            end: info.end,
            explanation_url: info.explanation_url,
        };
        let before: Option<Suggestion> = certificate
            .suggestion
            .clone()
            .and_then(|before| serde_json::from_value(before).ok());
        let draw = u64::from_le_bytes(crate::sealed::random::<8>());
        let is_same = before.is_some_and(|before| before.is_same(&suggestion));
        let chosen = renewal::choose(&suggestion, draw, now.get());
        let mut tx = self.pool.begin().await?;
        // As whoever stores a certificate does: the turn first, or the two wait for each other.
        turns::store::lock(&mut tx, self.issuer(), &certificate.hostname).await?;
        let again = renewal::ask_again_at(retry_after, now.get());
        match chosen {
            // Drawn once in a window, and kept.
            Some(_) if !is_same => {
                let renews_at = renewal::settle(chosen, (certificate.not_before, certificate.not_after));
                if store::keep(&mut tx, certificate, &suggestion, renews_at, again).await? {
                    turns::store::set_due(&mut tx, self.issuer(), &certificate.hostname, renews_at).await?;
                }
            }
            _ => store::put_off(&mut tx, certificate, again).await?,
        }
        tx.commit().await?;
        Ok(Ok(()))
    }
}
