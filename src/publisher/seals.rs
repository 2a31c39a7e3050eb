//! Whether the snapshot on disk can be opened with the first secret key alone. If not, it is written anew when the
//! database is through with sealing anew: what is served does not change with a key, so nothing else tells.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::record::Record;
use crate::{keyring, sealed::Keyring};

/// Between two looks at whether the database is through.
const LOOK: Duration = Duration::from_secs(2);
/// What was under an old key may also have been replaced instead of sealed anew: then nothing says so.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

pub struct Seals {
    keyring: Arc<Keyring>,
    needs_old_key: Arc<AtomicBool>,
    /// When the database had last come through before the snapshot was begun.
    resealed_at: Option<DateTime<Utc>>,
    renewed_at: Instant,
    looked_at: Instant,
}

impl Seals {
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            needs_old_key: Arc::default(),
            resealed_at: None,
            renewed_at: Instant::now(),
            looked_at: Instant::now(),
        }
    }

    pub fn needs_old_key(&self) -> Arc<AtomicBool> {
        self.needs_old_key.clone()
    }

    /// Whether one of them does not open with the first key alone.
    pub fn are_old(&self, records: &[Record]) -> bool {
        let is_old = |sealed: &Vec<u8>| !self.keyring.is_current(sealed);
        records.iter().any(|record| {
            let domain = record.domain.as_ref().map(|domain| &domain.user_digest_key);
            let certificate = record.certificate.as_ref().map(|certificate| &certificate.key_sealed);
            domain.into_iter().chain(certificate).any(is_old)
        })
    }

    /// More was written to the snapshot.
    pub fn note(&self, records: &[Record]) {
        if self.are_old(records) {
            self.needs_old_key.store(true, Ordering::Relaxed);
        }
    }

    /// A new snapshot is in force.
    pub fn renew(&mut self, needs_old_key: bool, resealed_at: Option<DateTime<Utc>>) {
        let needed = self.needs_old_key.swap(needs_old_key, Ordering::Relaxed);
        self.resealed_at = resealed_at;
        self.renewed_at = Instant::now();
        if needed && !needs_old_key {
            tracing::info!(key = %self.keyring.current(), "the snapshot of the directory is sealed under the first secret key");
        }
    }

    /// As the transaction sees it.
    pub async fn resealed_at(&self, db: &mut PgConnection) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        keyring::store::resealed_at(db, self.keyring.current().as_bytes()).await
    }

    /// Whether a new snapshot would need less.
    pub async fn are_to_be_renewed(&mut self, db: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if !self.needs_old_key.load(Ordering::Relaxed) || self.looked_at.elapsed() < LOOK {
            return Ok(false);
        }
        self.looked_at = Instant::now();
        let resealed_at = self.resealed_at(db).await?;
        let is_news = resealed_at != self.resealed_at || self.renewed_at.elapsed() > AT_LEAST_EVERY;
        Ok(resealed_at.is_some() && is_news)
    }
}
