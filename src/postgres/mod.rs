//! The database: a pool, the migrations, and the server itself when no `DATABASE_URL` is set. It knows no table and has
//! no query of the product.
//!
//! One process is enough to try Signpost, and the code path is production's: [`Source::Embedded`] makes a PostgreSQL
//! cluster of its own in the state directory, runs it on a Unix socket, and shares it with every other `signpost`
//! process of that directory.

mod error;
mod primary;
mod sockets;
mod store;

#[cfg(target_os = "linux")]
mod answer;
#[cfg(target_os = "linux")]
mod binaries;
#[cfg(target_os = "linux")]
mod cluster;
#[cfg(target_os = "linux")]
mod embedded;
#[cfg(not(target_os = "linux"))]
#[path = "embedded_elsewhere.rs"]
mod embedded;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod home;
#[cfg(target_os = "linux")]
mod lock;
#[cfg(target_os = "linux")]
mod postmaster;
#[cfg(target_os = "linux")]
mod user;

pub use error::PostgresError;

use std::path::PathBuf;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use tokio_util::sync::CancellationToken;
use tracing_log::log::LevelFilter;

use embedded::Embedded;
use primary::Servers;

/// A request that waits longer than this for a connection is better off with an error.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Publisher, its listener, the request log, certificates, jobs.
const BACKGROUND_CONNECTIONS: u32 = 8;
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// An older node may start beside a schema that a newer one has migrated: migrations it does not know are none of its
/// business.
pub static MIGRATOR: Migrator = Migrator {
    ignore_missing: true,
    ..sqlx::migrate!()
};

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Source {
    /// A server that somebody else runs, or several: a primary and its replicas.
    Servers(Vec<PgConnectOptions>),
    /// A cluster of our own in `<state_dir>/postgres`.
    Embedded { state_dir: PathBuf },
}

/// A pool of connections and, behind it, perhaps a server of our own.
///
/// Call [`Postgres::close`] on every way out: dropping it stops an embedded server too, but does not wait until it has.
pub struct Postgres {
    pool: PgPool,
    background: PgPool,
    servers: Servers,
    embedded: Option<Embedded>,
}

impl Postgres {
    /// Does not wait for a server elsewhere: its pool connects when first used. Starts the embedded one, or joins it if it
    /// runs, and waits until it answers.
    pub async fn open(source: Source, max_connections: u32) -> Result<Self, PostgresError> {
        let (servers, embedded) = match source {
            Source::Servers(servers) => (servers, None),
            Source::Embedded { state_dir } => {
                let embedded = Embedded::open(&state_dir).await?;
                (vec![embedded.connect_options()], Some(embedded))
            }
        };
        let servers = Servers::new(servers);
        let first = servers.first();
        let pool = |max_connections| {
            let pool = PgPoolOptions::new()
                .min_connections(0)
                .max_connections(max_connections)
                .acquire_timeout(ACQUIRE_TIMEOUT);
            servers.refuse_replicas(pool).connect_lazy_with(first.clone())
        };
        Ok(Self {
            pool: pool(max_connections),
            background: pool(BACKGROUND_CONNECTIONS),
            servers,
            embedded,
        })
    }

    /// Looks, once, which of several servers is the primary, and whether it answers. An error if none does within
    /// `patience`.
    pub async fn begin(&self, patience: Duration) -> Result<(), sqlx::Error> {
        self.servers.begin([&self.pool, &self.background], patience).await
    }

    /// For handlers. A connection belongs to the runtime that opened it, and handlers' runtimes end with the listeners.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// For everything else: it outlives the listeners, so that what they left can still be written.
    pub fn background(&self) -> &PgPool {
        &self.background
    }

    /// Starts an embedded server again whenever it has died, until `cancel`. Of servers elsewhere it follows the primary.
    pub async fn supervise(&self, cancel: CancellationToken) {
        match &self.embedded {
            Some(embedded) => embedded.supervise(cancel).await,
            None => self.servers.watch([&self.pool, &self.background], cancel).await,
        }
    }

    /// Closes the pool; stops the embedded server unless another process uses it.
    pub async fn close(self) {
        self.pool.close().await;
        self.background.close().await;
        if let Some(embedded) = self.embedded {
            embedded.leave().await;
        }
    }
}

/// Brings the schema up to date. Nodes that start together take turns: sqlx holds an advisory lock meanwhile.
pub async fn migrate(pool: &PgPool) -> Result<(), PostgresError> {
    Ok(MIGRATOR.run(pool).await?)
}

/// As every connection of a pool is made.
fn dressed(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("signpost")
        .log_statements(LevelFilter::Off)
        .log_slow_statements(LevelFilter::Warn, SLOW_STATEMENT)
}
