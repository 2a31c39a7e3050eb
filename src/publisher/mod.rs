//! From rows in Postgres to entries and certificates in memory. Fills them at start and keeps them
//! fresh: NOTIFY is the hint, the change log the truth. A row that can't be understood is a warning,
//! and the last good entry stays. Decides nothing about domains and knows no HTTP.
//!
//! While Postgres is gone everything goes on with what is in memory; a node that starts without
//! Postgres begins with its `snapshot`.
mod entry;
pub mod preview;
pub mod record;
mod seals;
pub mod snapshot;
pub mod store;
pub mod targets;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt;
use sqlx::{PgPool, postgres::PgListener};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use entry::UnreadableRow;
use entry::preview_entry;

use crate::certificates::wanted::Wanted;

use record::Record;
use seals::Seals;
use snapshot::Snapshot;
use targets::Targets;

/// A change that no notification announced is served after this at the latest.
const POLL: Duration = Duration::from_millis(150);
/// Between two attempts while the database is away.
const RETRY: Duration = Duration::from_secs(1);
/// The change log is kept for an hour: who was away for longer than this loads everything.
const TRUSTED_GAP: Duration = Duration::from_secs(30 * 60);
/// Records that one blocking task publishes: unsealing keys and building entries is work for all cores.
const CHUNK: usize = 500;
/// Such tasks at a time.
const WORKERS: usize = 2;

pub struct Publisher {
    pool: PgPool,
    targets: Targets,
    snapshot: Snapshot,
    seals: Seals,
    position: Option<Position>,
    /// Told of hostnames that are served without a certificate.
    certificate_wanted: Arc<Wanted>,
    is_filled: Arc<AtomicBool>,
}

/// How far the change log has been read.
struct Position {
    /// The oldest transaction that was still running: everything before it has been seen.
    xmin: i64,
    /// Changes at or after `xmin` that have been seen.
    seen: HashSet<i64>,
    at: Instant,
}

impl Publisher {
    #[must_use]
    pub fn new(pool: PgPool, targets: Targets, snapshot: Snapshot, certificate_wanted: Arc<Wanted>) -> Self {
        Self {
            pool,
            seals: Seals::new(targets.keyring.clone()),
            targets,
            snapshot,
            position: None,
            certificate_wanted,
            is_filled: Arc::default(),
        }
    }

    /// Whether the directory was ever filled, from the database or a snapshot.
    #[must_use]
    pub fn is_filled(&self) -> Arc<AtomicBool> {
        self.is_filled.clone()
    }

    /// Whether the snapshot needs a secret key that is not the first one.
    #[must_use]
    pub fn needs_old_key(&self) -> Arc<AtomicBool> {
        self.seals.needs_old_key()
    }

    /// Publishes what the snapshot on disk holds, for a start without the database. Returns how many.
    pub async fn load_snapshot(&self) -> std::io::Result<usize> {
        let (targets, path) = (self.targets.clone(), self.snapshot.path().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            snapshot::replay(&path, |record| targets.publish(record), |gone| targets.remove(gone))
        });
        let records = read.await.map_err(std::io::Error::other)??;
        self.is_filled.store(records > 0, Ordering::Release);
        Ok(records)
    }

    /// Loads everything from the database, and drops what is no longer there.
    pub async fn load(&mut self) -> Result<(), sqlx::Error> {
        // If it fails half-way, the next refresh starts over.
        self.position = None;
        let mut tx = self.pool.begin().await?;
        store::freeze(&mut tx).await?;
        let xmin = store::xmin(&mut tx).await?;
        let resealed_at = self.seals.resealed_at(&mut tx).await?;
        let mut needs_old_key = false;
        let mut hostnames = HashSet::new();
        let mut tasks = JoinSet::new();
        self.snapshot.begin();
        {
            let mut records = store::stream_all(&mut tx, &self.targets.issuer).try_chunks(CHUNK);
            while let Some(chunk) = records.try_next().await.map_err(|error| error.1)? {
                hostnames.extend(chunk.iter().map(|record| record.hostname.clone()));
                self.snapshot.put(&chunk);
                needs_old_key |= self.seals.are_old(&chunk);
                // As many at work as there are cores: more would only hold more records in memory.
                if tasks.len() >= WORKERS {
                    finished(tasks.join_next().await)?;
                }
                let targets = self.targets.clone();
                tasks.spawn_blocking(move || chunk.into_iter().for_each(|record| targets.publish(record)));
            }
        }
        let own = store::list_own(&mut tx, &self.targets.issuer, &self.targets.own_hosts).await?;
        tx.commit().await?;
        self.snapshot.put(&own);
        self.snapshot.finish();
        self.seals.renew(needs_old_key | self.seals.are_old(&own), resealed_at);
        own.into_iter().for_each(|record| self.targets.publish(record));
        while !tasks.is_empty() {
            finished(tasks.join_next().await)?;
        }
        self.targets.retain(|hostname| hostnames.contains(hostname));
        self.position = Some(Position {
            xmin,
            seen: HashSet::new(),
            at: Instant::now(),
        });
        self.is_filled.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads what has changed since the last call. Returns how many hostnames were looked at again.
    pub async fn refresh(&mut self) -> Result<usize, sqlx::Error> {
        let Some(position) = self
            .position
            .as_ref()
            .filter(|position| position.at.elapsed() < TRUSTED_GAP)
        else {
            return self.reload().await;
        };
        let mut db = self.pool.acquire().await?;
        let changes = store::changes_since(&mut db, position.xmin).await?;
        if changes.xmin < position.xmin {
            tracing::warn!("the database was set back: loading everything again");
            drop(db);
            return self.reload().await;
        }
        let is_new = |id: &i64| !position.seen.contains(id);
        let hostnames: HashSet<String> = changes
            .rows
            .iter()
            .filter(|(id, _)| is_new(id))
            .map(|(_, hostname)| hostname.clone())
            .collect();
        let seen = changes.rows.into_iter().map(|(id, _)| id).collect();
        if !hostnames.is_empty() {
            self.publish_changed(&mut db, hostnames.iter().cloned().collect())
                .await?;
        }
        self.position = Some(Position {
            xmin: changes.xmin,
            seen,
            at: Instant::now(),
        });
        let are_to_be_renewed = self.seals.are_to_be_renewed(&mut db).await?;
        drop(db);
        if self.snapshot.is_overgrown() || are_to_be_renewed {
            self.load().await?;
        }
        Ok(hostnames.len())
    }

    async fn reload(&mut self) -> Result<usize, sqlx::Error> {
        self.load().await?;
        Ok(self.targets.discovery.directory.len())
    }

    async fn publish_changed(
        &mut self,
        db: &mut sqlx::PgConnection,
        hostnames: Vec<String>,
    ) -> Result<(), sqlx::Error> {
        let mut records = store::find(db, &self.targets.issuer, &hostnames).await?;
        if hostnames
            .iter()
            .any(|hostname| self.targets.own_hosts.contains(hostname))
        {
            records.extend(store::list_own(db, &self.targets.issuer, &self.targets.own_hosts).await?);
        }
        let present: HashSet<&str> = records.iter().map(|record| record.hostname.as_str()).collect();
        let gone: Vec<&str> = hostnames
            .iter()
            .map(String::as_str)
            .filter(|hostname| !present.contains(hostname))
            .collect();
        gone.iter().for_each(|hostname| self.targets.remove(hostname));
        self.snapshot.append(&records, &gone);
        self.seals.note(&records);
        let uncertified = records.iter().filter(|record| record.certificate.is_none());
        uncertified.for_each(|record| self.certificate_wanted.add(&record.hostname));
        records
            .into_iter()
            .for_each(|record: Record| self.targets.publish(record));
        Ok(())
    }

    /// Keeps everything fresh until `cancel`. Losing the database is no reason to stop: it is tried
    /// again, and meanwhile what is in memory is served.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut listener = None;
        let mut is_away = false;
        loop {
            if listener.is_none() {
                listener = self.listen().await;
            }
            let pause = match self.refresh().await {
                Ok(_) => {
                    if std::mem::take(&mut is_away) {
                        tracing::info!("the database is back");
                    }
                    POLL
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(%error, "the database is away: serving what is in memory");
                    }
                    listener = None;
                    RETRY
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = hint(&mut listener) => {}
            }
        }
    }

    async fn listen(&self) -> Option<PgListener> {
        let mut listener = PgListener::connect_with(&self.pool).await.ok()?;
        listener.listen("signpost_directory").await.ok()?;
        Some(listener)
    }
}

/// A task that panicked is an error of the load.
fn finished(task: Option<Result<(), JoinError>>) -> Result<(), sqlx::Error> {
    let failed = |error| sqlx::Error::Io(std::io::Error::other(error));
    task.transpose().map(drop).map_err(failed)
}

/// Returns when something was announced. A listener that lost its connection is dropped; polling goes on.
async fn hint(listener: &mut Option<PgListener>) {
    let Some(listening) = listener else {
        return std::future::pending().await;
    };
    if !matches!(listening.try_recv().await, Ok(Some(_))) {
        *listener = None;
        std::future::pending().await
    }
}
