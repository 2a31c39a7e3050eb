//! The database: a pool, the migrations, and the server itself when no `DATABASE_URL` is set. It knows no table and has
//! no query of the product.
//!
//! One process is enough to try Signpost, and the code path is production's: [`Source::Embedded`] makes a PostgreSQL
//! cluster of its own in the state directory, runs it on a Unix socket, and shares it with every other `signpost`
//! process of that directory.

pub mod availability;
mod error;
mod fault;
mod primary;
mod sessions;
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

pub use availability::Availability;
pub use error::PostgresError;
pub use fault::{DatabaseFault, is_read_only, is_unavailable};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing_log::log::LevelFilter;

use embedded::Embedded;
use primary::Servers;
use sessions::Sessions;
use store::Timeouts;

/// A request that waits longer than this for a connection is better off with an error.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// For handlers. Locks are waited for less long than a connection: requests that need no lock get their turn.
const REQUEST_TIMEOUTS: Timeouts = Timeouts {
    statement: 15_000,
    lock: 4_000,
    idle_in_transaction: 30_000,
};
/// For everything else. Work that takes as long as there is data lifts them: [`lift_timeouts`].
const BACKGROUND_TIMEOUTS: Timeouts = Timeouts {
    statement: 600_000,
    // PostgreSQL looks for a deadlock once in each wait: a wait that became part of one later ends by this.
    lock: 30_000,
    idle_in_transaction: 60_000,
};
/// For migrations, which also wait for those of another node.
const NO_TIMEOUTS: Timeouts = Timeouts {
    statement: 0,
    lock: 0,
    idle_in_transaction: 0,
};
/// How long a connection that comes back to its pool may take to finish what it was doing. One that takes longer was
/// let go in the middle of a statement: it is closed, so that the server gives the statement up.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(250);
/// `client_connection_check_interval` came with version 14.
const CHECKS_CLIENTS: u32 = 140_000;
/// For ending our own statements when the process stops.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(1);
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
    availability: Arc<Availability>,
    /// Those of both pools, for ending them.
    sessions: Arc<Sessions>,
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
        let (availability, sessions) = (Arc::new(Availability::default()), Arc::new(Sessions::default()));
        let pool = |max_connections, timeouts| {
            let session = Session {
                timeouts,
                may_be_replica: !servers.are_several(),
                sessions: sessions.clone(),
            };
            session
                .pool_options(availability.clone())
                .max_connections(max_connections)
                .connect_lazy_with(first.clone())
        };
        Ok(Self {
            pool: pool(max_connections, REQUEST_TIMEOUTS),
            background: pool(BACKGROUND_CONNECTIONS, BACKGROUND_TIMEOUTS),
            servers,
            availability,
            sessions,
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

    /// What is known of the database, while [`Postgres::supervise`] runs.
    pub fn availability(&self) -> &Arc<Availability> {
        &self.availability
    }

    /// Watches the database until `cancel`: starts an embedded server again whenever it has died, and follows the primary
    /// of servers elsewhere.
    pub async fn supervise(&self, cancel: CancellationToken) {
        let pools = [&self.pool, &self.background];
        let watch = cancel.run_until_cancelled(self.servers.watch(pools, &self.availability));
        let restart = async {
            if let Some(embedded) = &self.embedded {
                embedded.supervise(cancel.clone()).await;
            }
        };
        tokio::join!(watch, restart);
    }

    /// Ends what the server still does for this process, such as statements that wait for a lock. For a stop, when
    /// handlers and tasks have ended.
    pub async fn terminate_statements(&self) {
        let terminate = async {
            let mut connection = self.pool.connect_options().connect().await?;
            let (pids, started_at) = self.sessions.list();
            let ended = store::terminate_busy(&mut connection, &pids, &started_at).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(ended)
        };
        match timeout(TERMINATE_TIMEOUT, terminate).await {
            Ok(Ok(0)) => {}
            Ok(Ok(ended)) => tracing::info!(ended, "statements that were still at work are ended"),
            Ok(Err(error)) => tracing::debug!(%error, "statements that are still at work can't be ended"),
            Err(_) => tracing::debug!("the database does not answer: what it still does ends by itself"),
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

/// How a pool's connections become sessions of ours.
#[derive(Clone)]
struct Session {
    timeouts: Timeouts,
    may_be_replica: bool,
    sessions: Arc<Sessions>,
}

impl Session {
    fn pool_options(self, availability: Arc<Availability>) -> PgPoolOptions {
        PgPoolOptions::new()
            .min_connections(0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                let session = self.clone();
                Box::pin(async move { session.begin(connection).await })
            })
            .before_acquire(move |_, metadata| {
                let is_outdated = availability.is_outdated(metadata.age);
                Box::pin(async move { Ok(!is_outdated) })
            })
            .after_release(|connection, _| {
                Box::pin(async move {
                    let answered = timeout(RELEASE_TIMEOUT, connection.ping()).await;
                    Ok(answered.is_ok_and(|answered| answered.is_ok()))
                })
            })
    }

    /// Timeouts are set here, because poolers such as `PgBouncer` refuse them among the start-up options.
    async fn begin(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.may_be_replica {
            primary::refuse_replica(connection).await?;
        }
        let (pid, started_at) = store::begin_session(connection, self.timeouts).await?;
        self.sessions.add(pid, started_at);
        if connection.server_version_num() >= Some(CHECKS_CLIENTS) {
            // Only some operating systems can. Elsewhere the statement's timeout has to do.
            store::set_client_check(connection).await.ok();
        }
        Ok(())
    }
}

/// Lifts the timeouts of a session until the end of its transaction: for work that takes as long as there is data.
pub async fn lift_timeouts(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    store::lift_timeouts(db).await
}

/// Brings the schema up to date. Nodes that start together take turns: sqlx holds an advisory lock meanwhile.
pub async fn migrate(pool: &PgPool) -> Result<(), PostgresError> {
    // Not of the pool, whose sessions have timeouts.
    let connection = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { store::begin_session(connection, NO_TIMEOUTS).await.map(drop) })
        })
        .connect_lazy_with((*pool.connect_options()).clone());
    let migrated = MIGRATOR.run(&connection).await;
    connection.close().await;
    Ok(migrated?)
}

/// Whether the schema is as new as this program, for a database that takes no changes.
pub async fn is_migrated(pool: &PgPool) -> Result<bool, PostgresError> {
    let mut connection = pool.acquire().await.map_err(MigrateError::from)?;
    let applied = connection.list_applied_migrations(&MIGRATOR.table_name).await?;
    let is_applied = |version| applied.iter().any(|applied| applied.version == version);
    Ok(MIGRATOR.iter().all(|migration| is_applied(migration.version)))
}

/// As every connection of a pool is made.
fn dressed(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("signpost")
        .log_statements(LevelFilter::Off)
        .log_slow_statements(LevelFilter::Warn, SLOW_STATEMENT)
}
