//! What a command needs before it can do anything: the state directory, the database with the
//! newest schema, and the keys.
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::{
    config::Settings,
    keyring,
    postgres::{self, Postgres, Source},
    sealed::Keyring,
};

const CONNECTIONS: u32 = 16;
/// A database that does not answer for this long is away.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Installation {
    pub postgres: Postgres,
    pub keyring: Arc<Keyring>,
    /// Whether the database answered at the start.
    pub is_database_there: bool,
    /// Held while this process serves: two must not write one spool.
    _lock: Option<File>,
}

impl Installation {
    /// For a command: without the database there is nothing to do.
    pub async fn open(settings: &Settings) -> Result<Self> {
        prepare_state_dir(&settings.state_dir)?;
        let postgres = open_postgres(settings).await?;
        match prepare_database(&postgres, settings).await {
            Ok(keyring) => Ok(Self {
                postgres,
                keyring: Arc::new(keyring),
                is_database_there: true,
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
        let (keyring, is_database_there) = match prepare_database(&postgres, settings).await {
            Ok(keyring) => (keyring, true),
            Err(error) if is_away(&error) && settings.secret_key_file.exists() => {
                tracing::warn!(error = crate::telemetry::one_line(&error), "the database is away");
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
            _lock: Some(lock),
        })
    }

    /// For a process that started while the database was away: brings the schema up to date when it
    /// is back. Never returns.
    pub async fn migrate_when_back(&self) {
        while !self.is_database_there && postgres::migrate(self.postgres.background()).await.is_err() {
            tokio::time::sleep(PATIENCE).await;
        }
        std::future::pending().await
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

async fn prepare_database(postgres: &Postgres, settings: &Settings) -> Result<Keyring> {
    let pool = postgres.background();
    let prepared = tokio::time::timeout(PATIENCE, async {
        let mut tx = pool.begin().await?;
        sqlx::Connection::ping(&mut *tx).await
    });
    prepared
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)
        .flatten()
        .context("DATABASE_URL: the database can't be reached")?;
    postgres::migrate(pool).await?;
    let mut tx = pool.begin().await?;
    let keyring = keyring::open(&mut tx, &settings.secret_key_file).await?;
    tx.commit().await?;
    Ok(keyring)
}

fn is_away(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<sqlx::Error>())
        .any(|error| {
            matches!(
                error,
                sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)
            ) || error.as_database_error().is_some_and(|error| {
                error
                    .code()
                    .is_some_and(|code| code.starts_with("57P") || code == "53300")
            })
        })
}
