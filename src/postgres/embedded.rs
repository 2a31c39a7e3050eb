//! The life of the embedded server among the processes that share it: whoever comes first starts it, whoever leaves
//! last stops it, and whoever supervises it starts it again. A killed process leaves it running for the next one to
//! take over.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Child;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::PostgresError;
use super::answer::{self, Answer};
use super::cluster;
use super::files::Owner;
use super::home::{self, Home};
use super::lock::{StartLock, UserLock};
use super::postmaster::{self, Postmaster};

const POLL: Duration = Duration::from_millis(10);
/// A server that recovers logs every question.
const SLOWEST_POLL: Duration = Duration::from_millis(500);
/// Long enough for another process to make a cluster on a slow disk.
const LOCK_LIMIT: Duration = Duration::from_secs(60);
/// How long a server may live without a word; one that says it is recovering may take as long as it needs.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Whoever holds the lock for longer is starting the server, and uses it.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(8);
const WATCH_EVERY: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// One user of the server of a state directory.
pub(super) struct Embedded {
    state_dir: PathBuf,
    owner: Owner,
    home: Home,
    users: UserLock,
    /// The postmaster, if we launched it: a parent has to reap it, or its number would look alive to the next one.
    child: Mutex<Option<Child>>,
    has_left: bool,
}

impl Embedded {
    pub async fn open(state_dir: &Path) -> Result<Self, PostgresError> {
        let failed = || PostgresError::file(state_dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(failed())?;
        let state_dir = std::fs::canonicalize(state_dir).map_err(failed())?;
        let owner = home::keeper(&state_dir)?;
        let starting = StartLock::wait(&state_dir, owner, LOCK_LIMIT).await?;
        let home = Home::open(&state_dir, owner, &starting)?;
        let users = UserLock::join(&state_dir, owner, &starting)?;
        let embedded = Self {
            state_dir,
            owner,
            home,
            users,
            child: Mutex::new(None),
            has_left: false,
        };
        embedded.bring_up(starting).await?;
        Ok(embedded)
    }

    pub fn connect_options(&self) -> PgConnectOptions {
        answer::options(&cluster::socket_dir(&self.home))
    }

    /// A server that dies over and over is started less and less often, until it has lived for a while.
    pub async fn supervise(&self, cancel: CancellationToken) {
        let mut pause = WATCH_EVERY;
        let mut started = Instant::now();
        while cancel.run_until_cancelled(sleep(pause)).await.is_some() {
            if self.is_alive() {
                if started.elapsed() > 2 * LONGEST_PAUSE {
                    pause = WATCH_EVERY;
                }
                let _ = cluster::bound_log(&self.home)
                    .inspect_err(|error| tracing::warn!(%error, "the embedded PostgreSQL's log grows"));
                continue;
            }
            let log = cluster::log_path(&self.home);
            tracing::warn!(log = %log.display(), "the embedded PostgreSQL has died; starting it again");
            match cancel.run_until_cancelled(self.restart()).await {
                Some(Ok(())) => tracing::info!("the embedded PostgreSQL runs again"),
                Some(Err(error)) => tracing::error!(%error, "the embedded PostgreSQL could not be started again"),
                None => return,
            }
            started = Instant::now();
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Stops the server if nobody else uses it.
    pub async fn leave(mut self) {
        self.has_left = true;
        match StartLock::wait(&self.state_dir, self.owner, LEAVE_LIMIT).await {
            Ok(starting) if self.users.was_last(&starting) => self.stop(&starting).await,
            Ok(_) => tracing::debug!("the embedded PostgreSQL goes on: others use it"),
            Err(error) => tracing::warn!(%error, "the embedded PostgreSQL goes on"),
        }
    }

    async fn restart(&self) -> Result<(), PostgresError> {
        let starting = StartLock::wait(&self.state_dir, self.owner, LOCK_LIMIT).await?;
        self.bring_up(starting).await
    }

    /// Returns when the server answers. The socket is asked before the process table: a server that runs in another
    /// container is not in ours. The lock is let go before `self` can be, whose drop may need it.
    async fn bring_up(&self, _starting: StartLock) -> Result<(), PostgresError> {
        let options = self.connect_options();
        let begun = Instant::now();
        let (mut last_word, mut last_told, mut launched, mut pause) = (begun, begun, None, POLL);
        loop {
            match answer::ask(&options).await? {
                Answer::Ready => {
                    let (path, took) = (self.home.path().display(), begun.elapsed());
                    tracing::debug!(%path, ?took, joined = launched.is_none(), "the embedded PostgreSQL answers");
                    return Ok(());
                }
                Answer::NoDatabase => answer::create_database(&options).await?,
                Answer::Busy => last_word = Instant::now(),
                Answer::Silence => {}
                Answer::Nobody if self.is_alive() => {}
                Answer::Nobody => {
                    if let Some(log_begins) = launched {
                        let reason = cluster::last_words(&self.home, log_begins);
                        return Err(PostgresError::NotStarted {
                            reason,
                            log: cluster::log_path(&self.home),
                        });
                    }
                    let launch = cluster::launch(&self.home, &self.state_dir).await?;
                    launched = Some(launch.log_begins);
                    *self.child() = Some(launch.child);
                    last_word = Instant::now();
                }
            }
            if last_word.elapsed() > SILENCE_LIMIT {
                return Err(PostgresError::Silent {
                    seconds: SILENCE_LIMIT.as_secs(),
                    log: cluster::log_path(&self.home),
                });
            }
            if last_told.elapsed() > TELL_EVERY {
                let since = begun.elapsed();
                tracing::warn!(
                    ?since,
                    "the embedded PostgreSQL is not ready yet: it recovers, or stops"
                );
                last_told = Instant::now();
            }
            sleep(pause).await;
            pause = (pause * 5 / 4).min(SLOWEST_POLL);
        }
    }

    /// Waits for the process, which removes its `postmaster.pid` a little before it ends.
    async fn stop(&self, _starting: &StartLock) {
        let data = cluster::data(&self.home);
        let Some(pid) = self.ask_to_stop() else { return };
        let deadline = Instant::now() + STOP_LIMIT;
        while postmaster::runs(pid, &data) {
            if Instant::now() > deadline {
                return tracing::warn!(
                    seconds = STOP_LIMIT.as_secs(),
                    "the embedded PostgreSQL still writes; it will stop when it has finished"
                );
            }
            sleep(POLL).await;
        }
        self.pid(); // reaps it
    }

    fn ask_to_stop(&self) -> Option<Pid> {
        let pid = self.pid()?;
        match postmaster::ask_to_stop(pid, &cluster::data(&self.home)) {
            Ok(()) => Some(pid),
            Err(error) => {
                tracing::warn!(%error, pid = pid.as_raw_nonzero(), "the embedded PostgreSQL cannot be stopped");
                None
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.pid().is_some()
    }

    /// A postmaster of our own is alive although it has not yet written its number down.
    fn pid(&self) -> Option<Pid> {
        let mut child = self.child();
        if let Some(Ok(Some(_exit))) = child.as_mut().map(Child::try_wait) {
            *child = None;
        }
        let own = child
            .as_ref()
            .and_then(Child::id)
            .and_then(|id| Pid::from_raw(id.try_into().ok()?));
        own.or_else(|| match postmaster::find(&cluster::data(&self.home)) {
            Postmaster::Running(pid) => Some(pid),
            Postmaster::Stranger | Postmaster::None => None,
        })
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever forgets to [`Embedded::leave`], or fails before it can, leaves no server behind all the same: it is asked to
/// stop, and not waited for.
impl Drop for Embedded {
    fn drop(&mut self) {
        if !self.has_left
            && let Ok(Some(starting)) = StartLock::attempt(&self.state_dir, self.owner)
            && self.users.was_last(&starting)
        {
            self.ask_to_stop();
        }
    }
}
