//! Two `flock`s in the state directory let several processes share one server. The kernel releases them whatever way a
//! process ends.
//!
//! `postgres.lock` is held shared by every user of the server. `postgres.start.lock` is held, alone and briefly, by
//! whoever looks whether the server runs and starts or stops it; so a start never meets a stop half way, although
//! everybody keeps the first lock for as long as it lives.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::PostgresError;
use super::files::{self, Owner};

const POLL: Duration = Duration::from_millis(20);

/// Held by one process while it starts or stops the server; released when dropped.
pub(super) struct StartLock(#[expect(dead_code, reason = "open as long as the lock is held")] File);

impl StartLock {
    pub async fn wait(state_dir: &Path, owner: Owner, limit: Duration) -> Result<Self, PostgresError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(lock) = Self::attempt(state_dir, owner)? {
                return Ok(lock);
            }
            if Instant::now() > deadline {
                return Err(PostgresError::Locked {
                    path: start_path(state_dir),
                    seconds: limit.as_secs(),
                });
            }
            sleep(POLL).await;
        }
    }

    pub fn attempt(state_dir: &Path, owner: Owner) -> Result<Option<Self>, PostgresError> {
        let path = start_path(state_dir);
        let file = files::open_or_make(&path, owner).map_err(PostgresError::file(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(PostgresError::file(path)(errno.into())),
        }
    }
}

/// Held by every user of the server.
pub(super) struct UserLock(File);

impl UserLock {
    /// Nobody holds this lock alone without the start lock, so that there is nothing to wait for.
    pub fn join(state_dir: &Path, owner: Owner, _starting: &StartLock) -> Result<Self, PostgresError> {
        let path = state_dir.join("postgres.lock");
        let file = files::open_or_make(&path, owner).map_err(PostgresError::file(&path))?;
        flock(&file, FlockOperation::NonBlockingLockShared).map_err(|errno| PostgresError::file(path)(errno.into()))?;
        Ok(Self(file))
    }

    /// Gives the lock up; true if nobody else had it.
    pub fn was_last(&self, _starting: &StartLock) -> bool {
        let alone = flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_ok();
        flock(&self.0, FlockOperation::Unlock).is_ok() && alone
    }
}

fn start_path(state_dir: &Path) -> PathBuf {
    state_dir.join("postgres.start.lock")
}
