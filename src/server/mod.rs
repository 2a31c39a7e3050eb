//! The composition root: builds everything, opens the listeners, and knows the order in which to
//! start and to stop.
mod installation;
mod listeners;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::dev::ServerHandle;
use anyhow::{Context, Result};
use prometheus::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

pub use installation::{Installation, prepare_state_dir};
use listeners::Public;

use crate::{
    api::{Api, rate_limit::RateLimits},
    certificates::{Issuer, internal::InternalCa, obtain::Obtainer, resolver::Resolver},
    config::{Certificates, Settings},
    discovery::{directory::Directory, front_door::FrontDoor, handler::Discovery, hit::Queue, metrics::Metrics},
    domains::OwnHosts,
    jobs,
    ops::Ops,
    publisher::{Publisher, snapshot::Snapshot, targets::Targets},
    request_log::{shipper::Shipper, spool::Spool},
    sealed::Keyring,
    tasks::Tasks,
    telemetry::Gauges,
};

/// Requests in flight may take this long after the signal to stop, and the request log as long.
const GRACE: Duration = Duration::from_secs(4);
const FLUSH: Duration = Duration::from_secs(3);

/// A server that answers.
pub struct Running {
    tasks: Tasks,
    ready: Arc<AtomicBool>,
    handles: Vec<ServerHandle>,
    spool: SpoolGuard,
    spool_thread: tokio::task::JoinHandle<std::io::Result<()>>,
    shipper: Arc<Shipper>,
    installation: Arc<Installation>,
    pub addresses: Addresses,
    discovery: Arc<Discovery>,
    resolver: Arc<Resolver>,
}

/// Lets the spool's thread end with whatever ends the server, also a failed start: a runtime waits for
/// its threads.
struct SpoolGuard(Arc<Spool>);

impl Drop for SpoolGuard {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Where the listeners are; with port 0 in the settings, the port that was given.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub http: std::net::SocketAddr,
    pub https: std::net::SocketAddr,
    pub ops: std::net::SocketAddr,
}

/// Runs until a signal, or until something that must not end has ended.
pub async fn run(settings: Settings, demo: bool) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let started = tokio::select! {
        started = start(&settings) => Some(started?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let Some(mut running) = started else { return Ok(()) };
    if demo {
        running.show_demo(&settings).await?;
    }
    let result = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        died = running.died() => Err(died),
    };
    tracing::info!("stopping");
    running.stop().await?;
    result
}

/// Builds everything and opens the listeners. Returns once devices are answered.
pub async fn start(settings: &Settings) -> Result<Running> {
    if settings.certificates == Certificates::Acme {
        anyhow::bail!("SIGNPOST_CERTIFICATES: `acme` is not in this version yet: use `internal`");
    }
    let sockets = listeners::bind(settings)?;
    let addresses = sockets.addresses()?;
    let installation = Arc::new(Installation::open_to_serve(settings).await?);
    let pool = installation.postgres.background().clone();
    let keyring = installation.keyring.clone();

    let registry = Registry::new();
    let serving = Serving::new(settings, &keyring, &registry)?;
    let certificate_wanted = Arc::new(Notify::new());
    let snapshot = Snapshot::new(&settings.state_dir);
    let targets = serving.targets(&keyring);
    let mut publisher = Publisher::new(pool.clone(), targets, snapshot, certificate_wanted.clone());
    fill(&mut publisher, installation.is_database_there).await?;

    let Serving {
        discovery,
        resolver,
        issuer,
        own_hosts,
    } = serving;
    let spool =
        Spool::open(&settings.state_dir).context("SIGNPOST_STATE_DIR: the spool of the request log can't be opened")?;
    let shipper = Arc::new(Shipper::new(pool.clone(), spool.clone()));
    let ready = Arc::new(AtomicBool::new(false));
    let api = Api {
        pool: installation.postgres.pool().clone(),
        keyring: keyring.clone(),
        own_hosts: own(settings),
        edge_addresses: settings.edge_addresses.clone(),
        limits: RateLimits::default(),
    };
    let ops = Ops {
        gauges: Gauges::register(&registry)?,
        registry,
        ready: ready.clone(),
        discovery: discovery.clone(),
        resolver: resolver.clone(),
        spool: spool.clone(),
        shipper: shipper.clone(),
        pools: [installation.postgres.pool().clone(), pool.clone()],
    };
    let door = FrontDoor {
        discovery: discovery.clone(),
        portal_host: settings.portal_host.as_str().into(),
        edge_host: settings.edge_host.as_str().into(),
    };
    let mut tasks = Tasks::default();
    let spool = SpoolGuard(spool);
    let spool_thread = tokio::task::spawn_blocking({
        let (spool, queue) = (spool.0.clone(), discovery.queue.clone());
        move || spool.run(&queue)
    });
    let obtainer = Arc::new(Obtainer {
        pool: pool.clone(),
        keyring,
        issuer,
        own_hosts,
    });
    tasks.spawn("publisher", publisher.run(tasks.cancel()));
    tasks.spawn(
        "certificates",
        jobs::obtain_certificates(obtainer, certificate_wanted, tasks.cancel()),
    );
    tasks.spawn("request log", ship(shipper.clone(), tasks.cancel()));
    tasks.spawn("database", keep_database(installation.clone(), tasks.cancel()));
    jobs::start(&mut tasks, &pool);
    let handles = listeners::open(
        sockets,
        Public {
            door,
            api: api.into(),
            resolver: resolver.clone(),
        },
        ops,
        &mut tasks,
    )?;
    ready.store(true, Ordering::Release);
    tracing::info!(http = %addresses.http, https = %addresses.https, ops = %addresses.ops, domains = discovery.directory.len(), "ready");
    Ok(Running {
        tasks,
        ready,
        handles,
        spool,
        spool_thread,
        shipper,
        installation,
        addresses,
        discovery,
        resolver,
    })
}

/// The half that answers devices, from memory only.
struct Serving {
    discovery: Arc<Discovery>,
    resolver: Arc<Resolver>,
    issuer: Arc<Issuer>,
    own_hosts: Vec<String>,
}

impl Serving {
    fn new(settings: &Settings, keyring: &Keyring, registry: &Registry) -> Result<Self> {
        let ca = InternalCa::open(&settings.state_dir, keyring, crate::clock::now())?;
        let discovery = Discovery {
            directory: Directory::default(),
            queue: Arc::new(Queue::default()),
            metrics: Metrics::register(registry)?,
            trusted_proxies: settings.trusted_proxies.clone(),
        };
        Ok(Self {
            discovery: Arc::new(discovery),
            resolver: Arc::default(),
            issuer: Arc::new(Issuer::Internal(ca)),
            own_hosts: vec![settings.portal_host.to_string(), settings.edge_host.to_string()],
        })
    }

    fn targets(&self, keyring: &Arc<Keyring>) -> Targets {
        Targets {
            discovery: self.discovery.clone(),
            resolver: self.resolver.clone(),
            keyring: keyring.clone(),
            issuer: self.issuer.name().to_owned(),
            own_hosts: self.own_hosts.clone(),
            organisations: Arc::default(),
        }
    }
}

/// The names that nobody may register.
#[must_use]
pub fn own(settings: &Settings) -> OwnHosts {
    OwnHosts {
        portal: settings.portal_host.to_string(),
        edge: settings.edge_host.to_string(),
    }
}

/// From the database, or from the last snapshot if the database is away.
async fn fill(publisher: &mut Publisher, is_database_there: bool) -> Result<()> {
    if is_database_there {
        match publisher.load().await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the directory can't be loaded from the database"),
        }
    }
    let records = publisher
        .load_snapshot()
        .await
        .context("the database is away, and the snapshot of the directory can't be read")?;
    tracing::warn!(records, "the database is away: answering from the last snapshot");
    Ok(())
}

async fn ship(shipper: Arc<Shipper>, cancel: CancellationToken) {
    shipper.run(cancel).await;
}

async fn keep_database(installation: Arc<Installation>, cancel: CancellationToken) {
    tokio::select! {
        () = installation.postgres.supervise(cancel.clone()) => {}
        () = installation.migrate_when_back() => cancel.cancelled().await,
    }
}

impl Running {
    /// Returns when a part has died that the rest can't do without.
    async fn died(&mut self) -> anyhow::Error {
        tokio::select! {
            died = self.tasks.died() => died.into(),
            ended = &mut self.spool_thread => match ended {
                Ok(Ok(())) => anyhow::anyhow!("the thread that writes the request log ended"),
                Ok(Err(error)) => anyhow::Error::from(error).context("the request log can't be written"),
                Err(error) => anyhow::Error::from(error).context("the thread that writes the request log died"),
            },
        }
    }

    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.installation.keyring.clone()
    }

    /// Whether devices get an answer for `hostname`, also over TLS.
    #[must_use]
    pub fn serves(&self, hostname: &str) -> bool {
        self.discovery.directory.find(hostname).is_some() && self.resolver.has(hostname)
    }

    /// Stops accepting, answers what is in flight, flushes the request log, stops the rest.
    pub async fn stop(self) -> Result<()> {
        self.ready.store(false, Ordering::Release);
        let stopped = futures_util::future::join_all(self.handles.iter().map(|handle| handle.stop(true)));
        if tokio::time::timeout(GRACE, stopped).await.is_err() {
            tracing::warn!("requests in flight were cut off");
        }
        self.spool.0.stop();
        if !self.spool_thread.is_finished() {
            self.spool_thread.await.context("the request log")??;
        }
        match tokio::time::timeout(FLUSH, self.shipper.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the request log waits on disk for the next start"),
            Err(_) => tracing::warn!("the request log is long: the rest waits on disk for the next start"),
        }
        self.tasks.stop().await;
        drop(self.shipper);
        if let Some(installation) = Arc::into_inner(self.installation) {
            installation.close().await;
        }
        Ok(())
    }

    async fn show_demo(&self, settings: &Settings) -> Result<()> {
        let pool = self.installation.postgres.background();
        let token = crate::demo::fill(pool, &self.installation.keyring, &own(settings)).await?;
        for _ in 0..200 {
            if self.serves(crate::demo::HOSTNAME) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        print!("{}", crate::cli::demo::banner(settings, &self.addresses, &token));
        Ok(())
    }
}

/// The root of the internal CA, for whoever tries Signpost.
#[must_use]
pub fn ca_file(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("ca.pem")
}
