//! From rows in Postgres to entries and certificates in memory. Fills them at start and keeps them
//! fresh: NOTIFY is the hint, the change log the truth. A row that can't be understood is a warning,
//! and the last good entry stays. Decides nothing about domains and knows no HTTP.
//!
//! While Postgres is gone everything goes on with what is in memory; a node that starts without
//! Postgres begins with its `snapshot`.
mod entry;
mod follow;
pub mod preview;
pub mod record;
mod seals;
pub mod snapshot;
pub mod standing;
pub mod store;
pub mod targets;

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::TryStreamExt;
use sqlx::PgPool;
use tokio::task::{JoinError, JoinSet};

pub use entry::UnreadableRow;
use entry::preview_entry;

use crate::{certificates::wanted::Wanted, clock};

use record::Record;
use seals::Seals;
use snapshot::{Found, Refusal, Snapshot};
use standing::Standing;
use targets::Targets;

/// A look at the change log that takes longer has no answer to expect.
const PATIENCE: Duration = Duration::from_secs(10);
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
    standing: Arc<Standing>,
}

/// How far the change log has been read.
struct Position {
    /// In which run of which server, and in which of its tables: numbers of others mean nothing here.
    origin: String,
    /// The oldest transaction that was still running: everything before it has been seen.
    xmin: i64,
    /// Changes at or after `xmin` that have been seen.
    seen: HashSet<i64>,
}

impl Publisher {
    #[must_use]
    pub fn new(pool: PgPool, targets: Targets, state_dir: &Path, certificate_wanted: Arc<Wanted>) -> Self {
        let standing = Arc::new(Standing::new(targets.discovery.clone()));
        Self {
            pool,
            seals: Seals::new(targets.keyring.clone()),
            snapshot: Snapshot::new(state_dir, targets.keyring.clone(), standing.clone()),
            targets,
            position: None,
            certificate_wanted,
            standing,
        }
    }

    /// How well what is served is known.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.clone()
    }

    /// Whether the snapshot needs a secret key that is not the first one.
    #[must_use]
    pub fn needs_old_key(&self) -> Arc<AtomicBool> {
        self.seals.needs_old_key()
    }

    /// Publishes what the snapshot on disk holds, for a start without the database. A snapshot that can't be believed
    /// is worse than none: a device that gets no answer tries again, one that gets a wrong one does not.
    pub async fn load_snapshot(&mut self) {
        let (targets, path) = (self.targets.clone(), self.snapshot.path().to_owned());
        let read = tokio::task::spawn_blocking(move || match snapshot::find(&path, &targets.keyring) {
            Found::Good(contents) => {
                let published = contents.publish(|record| targets.publish(record));
                if published.is_err() {
                    targets.retain(|_| false);
                }
                published.map(|records| Some((records, contents)))
            }
            Found::Nothing => Ok(None),
            Found::Refused(refusal) => Err(refusal),
        });
        let read = read.await.map_err(|panic| Refusal::from(std::io::Error::other(panic)));
        match read.flatten() {
            Ok(Some((records, contents))) => {
                if contents.is_torn {
                    tracing::warn!("what this node wrote last before it was killed is missing in its snapshot");
                }
                let as_of = contents.as_of();
                tracing::warn!(records, %as_of, "the database is away: answering from the last snapshot");
                // Nothing in it is no answer for anybody.
                if records > 0 {
                    self.standing.snapshot_was_read(contents.as_of);
                }
            }
            Ok(None) => tracing::error!("the database is away and there is no snapshot: not ready until it is back"),
            Err(refusal) => {
                let path = self.snapshot.path().display();
                tracing::error!(%path, %refusal, "the database is away and the snapshot is refused: not ready until it is back");
                self.snapshot.keep_refused();
                self.standing.snapshot_was_refused(&refusal);
            }
        }
    }

    /// Loads everything from the database, and drops what is no longer there.
    pub async fn load(&mut self) -> Result<(), sqlx::Error> {
        // If it fails half-way, the next refresh starts over.
        self.position = None;
        let mut tx = self.pool.begin().await?;
        store::freeze(&mut tx).await?;
        crate::postgres::lift_timeouts(&mut tx).await?;
        let as_of = as_of();
        let moment = store::moment(&mut tx).await?;
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
                self.want_certificates(&chunk);
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
        self.snapshot.finish(as_of).await;
        self.seals.renew(needs_old_key | self.seals.are_old(&own), resealed_at);
        own.into_iter().for_each(|record| self.targets.publish(record));
        while !tasks.is_empty() {
            finished(tasks.join_next().await)?;
        }
        self.targets.retain(|hostname| hostnames.contains(hostname));
        self.position = Some(Position {
            origin: moment.origin,
            xmin: moment.xmin,
            seen: HashSet::new(),
        });
        self.standing.database_was_read(as_of);
        Ok(())
    }

    /// Reads what has changed since the last call. Returns how many hostnames were looked at again.
    pub async fn refresh(&mut self) -> Result<usize, sqlx::Error> {
        let Some(position) = &self.position else {
            return self.reload().await;
        };
        let as_of = as_of();
        let looked = tokio::time::timeout(PATIENCE, async {
            let mut db = self.pool.acquire().await?;
            let changes = store::changes_since(&mut db, position.xmin).await?;
            Ok::<_, sqlx::Error>((db, changes))
        });
        let (mut db, changes) = looked.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        if changes.moment.origin != position.origin || changes.moment.xmin < position.xmin {
            // A restart costs one load too many, a restored database that is taken for the old one costs its changes.
            tracing::info!("the database was started again, replaced or set back: loading everything");
            drop(db);
            return self.reload().await;
        }
        if position.xmin <= changes.deleted_up_to {
            // Away for longer than changes are kept: by a cut network, a paused machine, or a clock that was set.
            tracing::warn!(
                event = "directory.changes_missed",
                "changes were deleted before this node read them: loading everything"
            );
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
            origin: changes.moment.origin,
            xmin: changes.moment.xmin,
            seen,
        });
        self.standing.database_was_read(as_of);
        let are_to_be_renewed = self.seals.are_to_be_renewed(&mut db).await?;
        drop(db);
        if self.snapshot.is_to_be_renewed() || are_to_be_renewed {
            self.load().await?;
        }
        Ok(hostnames.len())
    }

    async fn reload(&mut self) -> Result<usize, sqlx::Error> {
        self.load().await?;
        Ok(self.targets.discovery.directory.len())
    }

    /// Lets the disk follow.
    async fn settle(&mut self) {
        if let Some(as_of) = self.known_as_of() {
            self.snapshot.settle(as_of).await;
        }
    }

    async fn settle_now(&mut self) {
        if let Some(as_of) = self.known_as_of() {
            self.snapshot.settle_now(as_of).await;
        }
    }

    /// Not while a full load has failed: then a new file was begun, and is none yet.
    fn known_as_of(&self) -> Option<i64> {
        self.position.as_ref().and_then(|_| self.standing.as_of())
    }

    fn want_certificates(&self, records: &[Record]) {
        let uncertified = records.iter().filter(|record| record.certificate.is_none());
        uncertified.for_each(|record| self.certificate_wanted.add(&record.hostname));
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
        self.want_certificates(&records);
        records
            .into_iter()
            .for_each(|record: Record| self.targets.publish(record));
        Ok(())
    }
}

/// A task that panicked is an error of the load.
fn finished(task: Option<Result<(), JoinError>>) -> Result<(), sqlx::Error> {
    let failed = |error| sqlx::Error::Io(std::io::Error::other(error));
    task.transpose().map(drop).map_err(failed)
}

/// When the database is read, in Unix seconds by the clock of this node, which tells the age of its directory.
#[expect(
    clippy::disallowed_methods,
    reason = "the age of the node's own memory, for metrics and the snapshot"
)]
fn as_of() -> i64 {
    clock::now().timestamp()
}
