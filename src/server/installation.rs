//! What a command needs before it can do anything: the state directory, the database with the
//! newest schema, and the keys.
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::{
    config::Settings,
    keyring,
    postgres::{self, DatabaseFault, Postgres, Source, is_unavailable},
    publisher::snapshot,
    sealed::Keyring,
};

const CONNECTIONS: u32 = 16;
/// A database that does not answer for this long is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a node that can go on without: devices wait meanwhile.
const HASTE: Duration = Duration::from_millis(400);
/// To connect, and between two attempts.
const ATTEMPT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(100);
/// The same while it is away.
const RETRY: Duration = Duration::from_secs(1);

pub struct Installation {
    pub postgres: Postgres,
    pub keyring: Arc<Keyring>,
    /// Whether the database answered at the start.
    pub is_database_there: bool,
    secret_key_file: PathBuf,
    /// Held while this process serves: two must not write one spool.
    _lock: Option<File>,
}

impl Installation {
    /// For a command: without the database there is nothing to do.
    pub async fn open(settings: &Settings) -> Result<Self> {
        prepare_state_dir(&settings.state_dir)?;
        let postgres = open_postgres(settings).await?;
        match prepare_database(&postgres, settings, PATIENCE).await {
            Ok(keyring) => Ok(Self {
                postgres,
                keyring: Arc::new(keyring),
                is_database_there: true,
                secret_key_file: settings.secret_key_file.clone(),
                _lock: None,
            }),
            Err(error) => {
                postgres.close().await;
                Err(error)
            }
        }
    }

    /// To serve: if the database is away and the keys are there, go on without it.
    pub async fn open_to_serve(settings: &Settings) -> Result<Self> {
        prepare_state_dir(&settings.state_dir)?;
        let lock = lock(&settings.state_dir)?;
        let postgres = open_postgres(settings).await?;
        let patience = if can_do_without(settings) { HASTE } else { PATIENCE };
        let prepared = prepare_database(&postgres, settings, patience).await;
        let (keyring, is_database_there) = match prepared {
            Ok(keyring) => (keyring, true),
            Err(error) if may_start_without(&error, settings) => {
                tracing::warn!(error = crate::telemetry::one_line(&error), "the database is away");
                postgres.availability().begin_away();
                (Keyring::load(&settings.secret_key_file)?, false)
            }
            Err(error) => {
                postgres.close().await;
                return Err(error);
            }
        };
        Ok(Self {
            postgres,
            keyring: Arc::new(keyring),
            is_database_there,
            secret_key_file: settings.secret_key_file.clone(),
            _lock: Some(lock),
        })
    }

    /// For a process that started while the database was away: returns when it is back, with the newest schema, and is
    /// the one that our keys belong to. Until then nothing is read from it: another's would take away what is served.
    pub async fn prepare_when_back(&self) {
        if self.is_database_there {
            return;
        }
        let mut was_told = false;
        loop {
            let Err(error) = self.prepare().await else { return };
            if !says_away(&error) && !std::mem::replace(&mut was_told, true) {
                tracing::error!(
                    error = crate::telemetry::one_line(&error),
                    "the database is back and can't be used: going on without it"
                );
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn prepare(&self) -> Result<()> {
        match self.prepare_writable().await {
            Err(error) if says_read_only(&error) => {
                prepare_read_only(&self.postgres, &self.keyring, &self.secret_key_file).await
            }
            prepared => prepared,
        }
    }

    async fn prepare_writable(&self) -> Result<()> {
        let pool = self.postgres.background();
        postgres::migrate(pool).await?;
        let mut tx = pool.begin().await?;
        keyring::check(&mut tx, &self.keyring, &self.secret_key_file).await?;
        Ok(tx.commit().await?)
    }

    pub async fn close(self) {
        self.postgres.close().await;
    }
}

/// Makes the state directory, for its owner only.
pub fn prepare_state_dir(state_dir: &Path) -> Result<()> {
    let shown = || format!("SIGNPOST_STATE_DIR: can't make or use {}", state_dir.display());
    if !state_dir.exists() {
        fs::create_dir_all(state_dir).with_context(shown)?;
        fs::set_permissions(state_dir, Permissions::from_mode(0o700)).with_context(shown)?;
    }
    // Found now rather than at the first request: a directory that can't be written to.
    let probe = state_dir.join(format!(".writable-{}", std::process::id()));
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .with_context(shown)
}

fn lock(state_dir: &Path) -> Result<File> {
    let path = state_dir.join("serve.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("can't open {}", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).with_context(|| {
        format!(
            "SIGNPOST_STATE_DIR: another `signpost serve` uses {}",
            state_dir.display()
        )
    })?;
    Ok(file)
}

async fn open_postgres(settings: &Settings) -> Result<Postgres> {
    let source = match &settings.database {
        Some(servers) => Source::Servers(servers.clone()),
        None => Source::Embedded {
            state_dir: settings.state_dir.clone(),
        },
    };
    Ok(Postgres::open(source, CONNECTIONS).await?)
}

/// Whether a node could serve without the database.
fn can_do_without(settings: &Settings) -> bool {
    let is_elsewhere = settings.database.is_some();
    is_elsewhere && settings.secret_key_file.exists() && snapshot::path(&settings.state_dir).exists()
}

/// Once in haste; otherwise again and again, as both may have been started at this moment.
async fn reach(postgres: &Postgres, patience: Duration) -> Result<(), sqlx::Error> {
    let began = Instant::now();
    loop {
        let left = patience.saturating_sub(began.elapsed());
        match postgres.begin(left.min(ATTEMPT)).await {
            Err(error) if left > ATTEMPT && is_unavailable(&error) => tokio::time::sleep(AGAIN).await,
            reached => return reached,
        }
    }
}

async fn prepare_database(postgres: &Postgres, settings: &Settings, patience: Duration) -> Result<Keyring> {
    reach(postgres, patience)
        .await
        .context("DATABASE_URL: the database can't be reached")?;
    match open_keyring(postgres, settings).await {
        Err(error) if says_read_only(&error) && settings.secret_key_file.exists() => {
            let keyring = Keyring::load(&settings.secret_key_file)?;
            prepare_read_only(postgres, &keyring, &settings.secret_key_file).await?;
            Ok(keyring)
        }
        opened => opened,
    }
}

async fn open_keyring(postgres: &Postgres, settings: &Settings) -> Result<Keyring> {
    let pool = postgres.background();
    postgres::migrate(pool).await?;
    let mut tx = pool.begin().await?;
    let keyring = keyring::open(&mut tx, &settings.secret_key_file).await?;
    tx.commit().await?;
    Ok(keyring)
}

/// A database that takes no changes can be served from, if it is as this program needs it.
async fn prepare_read_only(postgres: &Postgres, keyring: &Keyring, secret_key_file: &Path) -> Result<()> {
    let pool = postgres.background();
    anyhow::ensure!(
        postgres::is_migrated(pool).await?,
        "the database is read-only, and its schema is older than this version"
    );
    keyring::check_read_only(&mut *pool.acquire().await?, keyring, secret_key_file).await?;
    Ok(())
}

fn says_read_only(error: &anyhow::Error) -> bool {
    DatabaseFault::within(&**error) == Some(DatabaseFault::ReadOnly)
}

/// Whether the node can go on, and ask the database again later.
fn says_away(error: &anyhow::Error) -> bool {
    DatabaseFault::within(&**error).is_some()
}

/// Same at the start. A database that refuses us is a mistake in the settings, unless there is something to serve.
fn may_start_without(error: &anyhow::Error, settings: &Settings) -> bool {
    let is_worth_waiting = match DatabaseFault::within(&**error) {
        None => false,
        Some(DatabaseFault::Refused) => snapshot::path(&settings.state_dir).exists(),
        Some(_) => true,
    };
    is_worth_waiting && settings.secret_key_file.exists()
}
