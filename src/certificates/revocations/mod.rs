//! Revokes certificates because somebody asked for it when a domain was removed (RFC 8555 §7.6).
pub mod store;

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{
    acme::CaError,
    orders::{Orders, Stop},
};
use crate::{
    clock::{self, DatabaseTime},
    work::clock_watch::ClockWatch,
};

const LOOK: Duration = Duration::from_secs(15);
/// After the first attempt; after the second twice as long, after the third three times.
const AGAIN: TimeDelta = TimeDelta::minutes(10);
const AT_ONCE: i64 = 20;
/// RFC 5280 §5.3.1: the domain is not ours to answer for any more.
const CESSATION_OF_OPERATION: u8 = 5;

impl Orders {
    /// Until `cancel`.
    pub async fn revoke(&self, clock: &ClockWatch, cancel: CancellationToken) {
        loop {
            let revoke = async {
                clock.wait_until_trusted().await;
                self.revoke_as_of_now().await
            };
            let revoked = tokio::select! {
                () = cancel.cancelled() => return,
                revoked = revoke => revoked,
            };
            if let Err(error) = revoked {
                crate::telemetry::log_failed_work("revocations wait", error);
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn revoke_as_of_now(&self) -> Result<usize, Stop> {
        self.revoke_due(clock::read(&self.pool).await?).await
    }

    /// Returns how many were revoked.
    pub async fn revoke_due(&self, now: DatabaseTime) -> Result<usize, Stop> {
        let mut db = self.pool.acquire().await?;
        let due = store::claim_due(&mut db, self.issuer(), now, AGAIN, AT_ONCE).await?;
        drop(db);
        let mut revoked = 0;
        for certificate in due {
            let account = self.accounts.registered().await?;
            let session = self.accounts.ca.account(&account.key, &account.url)?;
            match session
                .revoke(&certificate.certificate, Some(CESSATION_OF_OPERATION))
                .await
            {
                Ok(()) => revoked += 1,
                Err(CaError::Refused(problem)) if problem.kind == "alreadyRevoked" => {}
                Err(error) => {
                    tracing::warn!(domain.hostname = certificate.hostname, %error, "a certificate is not revoked");
                    let mut db = self.pool.acquire().await?;
                    store::set_error(&mut db, certificate.revocation_id, &error.to_string()).await?;
                    continue;
                }
            }
            tracing::info!(domain.hostname = certificate.hostname, "a certificate is revoked");
            store::delete(&mut *self.pool.acquire().await?, certificate.revocation_id).await?;
        }
        Ok(revoked)
    }
}
