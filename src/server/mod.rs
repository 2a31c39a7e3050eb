//! The composition root: builds everything, opens the listeners, and knows the order in which to
//! start and to stop.
mod banner;
mod challenging;
mod installation;
mod issuing;
mod listeners;
mod managing;
mod names;
mod node;
mod outside;
mod portal_database;
mod portal_limit;
mod running;
mod serving;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::web;
use anyhow::{Context, Result};
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use installation::{Installation, prepare_state_dir};
use listeners::Public;
pub use names::own;
use node::{Looks, Member};
use portal_limit::MAX_PORTAL_REQUESTS;
pub use running::Running;
use serving::Serving;

use crate::{
    certificates::wanted::Wanted,
    config::Settings,
    connections::{
        accept::{Gate, TrustedPeers},
        metrics::ConnectionMetrics,
        stats::ConnectionStats,
    },
    descriptors,
    discovery::{front_door::FrontDoor, handler::Discovery},
    jobs::{self, Means},
    ops::Ops,
    public_scheme::PublicScheme,
    publisher::Publisher,
    request_log::{keeper, lane::Lanes, shipper::Shipper, spool::Spool},
    rotation::Rotation,
    tasks::Tasks,
    telemetry::Gauges,
    work::clock_watch::ClockWatch,
};

/// Where the listeners are; with port 0 in the settings, the port that was given.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub http: std::net::SocketAddr,
    pub https: std::net::SocketAddr,
    pub ops: std::net::SocketAddr,
}

/// Runs until a signal, or until something that must not end has ended.
pub async fn run(settings: Settings, demo: bool) -> Result<()> {
    keep_memory_private();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A limit on the size of files is a disk that refuses, as a full one: what is written gets an error. Without a
    // handler it is the end of the process.
    let _handler = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let purpose = if demo { Purpose::Demo } else { Purpose::Earnest };
    let started = tokio::select! {
        started = start_for(&settings, purpose) => Some(started?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let Some(mut running) = started else { return Ok(()) };
    if demo {
        running.show_demo(&settings).await?;
    }
    let result = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => {
            running.drain(settings.drain).await;
            Ok(())
        }
        died = running.died() => Err(died),
    };
    tracing::info!("stopping");
    running.stop().await?;
    result
}

/// The process holds private keys: it leaves no core file, and other processes of its user may not read its memory.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(event = "process.dumpable", %error, "could not keep other processes from reading our memory");
    }
}

/// What a server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Earnest,
    /// Somebody tries it out: mails that can't be sent are shown.
    Demo,
}

pub async fn start(settings: &Settings) -> Result<Running> {
    start_for(settings, Purpose::Earnest).await
}

/// Builds everything and opens the listeners. Returns once devices are answered.
pub async fn start_for(settings: &Settings, purpose: Purpose) -> Result<Running> {
    let max_connections = descriptors::raise();
    let sockets = listeners::bind(settings)?;
    let addresses = sockets.addresses()?;
    let installation = Arc::new(Installation::open_to_serve(settings).await?);
    let pool = installation.postgres.background().clone();
    let keyring = installation.keyring.clone();

    let registry = Registry::new();
    let issuer = issuing::issuer(settings, &pool, &keyring)?;
    let serving = Serving::new(settings, issuer, &keyring, &registry)?;
    let wanted = Arc::new(Wanted::default());
    let targets = serving.targets(&keyring);
    let mut publisher = Publisher::new(pool.clone(), targets, &settings.state_dir, wanted.clone());
    fill(&mut publisher, installation.is_database_there).await;
    let node = Member::join(settings, &installation).await;

    let spool =
        Spool::open(&settings.state_dir).context("SIGNPOST_STATE_DIR: the spool of the request log can't be opened")?;
    let lanes = Lanes::new(spool.clone());
    let shipper = Arc::new(Shipper::new(pool.clone(), spool.clone()));
    let ready = Arc::new(AtomicBool::new(false));
    let gate = gate(settings, max_connections);
    let api = managing::api(settings, &installation, &addresses, &serving, wanted.clone())?;
    let api = web::Data::new(api);
    let console = web::Data::new(managing::console(settings, &installation, &api, purpose, &registry)?);
    let messengers = managing::messengers(settings, &installation, &addresses, &serving)?;
    let clock = Arc::new(ClockWatch::default());
    let obtainer = Arc::new(serving.obtainer(&pool, keyring.clone(), wanted, clock.clone()));
    let looks = looks(&serving, &addresses, &ready);
    let Serving {
        discovery,
        resolver,
        issuer,
        ..
    } = serving;
    let rotation = Rotation::new(pool.clone(), installation.keyring.clone());
    let ops = Ops {
        gauges: Gauges::register(&registry)?,
        connection_metrics: ConnectionMetrics::register(&registry)?,
        registry,
        ready: ready.clone(),
        availability: installation.postgres.availability().clone(),
        standing: publisher.standing(),
        clock: clock.clone(),
        discovery: discovery.clone(),
        resolver: resolver.clone(),
        served: node.served.clone(),
        spool: spool.clone(),
        lanes: lanes.clone(),
        shipper: shipper.clone(),
        board: obtainer.board.clone(),
        webhooks: messengers.courier.backlog.clone(),
        left_to_seal: rotation.left.clone(),
        needs_old_key: publisher.needs_old_key(),
        connections: gate.stats.clone(),
        pools: [installation.postgres.pool().clone(), pool.clone()],
    };
    let door = door(settings, &discovery, &node, &lanes);
    let challenges = node.challenges();
    let mut tasks = Tasks::default();
    node.start(settings, looks, &mut tasks)?;
    tasks.spawn("publisher", publish(publisher, installation.clone(), tasks.cancel()));
    issuing::start(&mut tasks, obtainer);
    start_request_log(&mut tasks, &spool, &shipper);
    tasks.spawn("database", keep_database(installation.clone(), tasks.cancel()));
    managing::start(&mut tasks, &clock, &api, &console, messengers);
    jobs::start(&mut tasks, Means { pool, rotation, clock });
    let handles = listeners::open(
        sockets,
        Public {
            door,
            api,
            console,
            resolver: resolver.clone(),
            challenges,
            gate,
            scheme: PublicScheme::of(settings.portal_host.as_str()),
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
        shipper,
        installation,
        addresses,
        discovery,
        resolver,
        issuer,
    })
}

/// What the monitor of served certificates looks at.
fn looks(serving: &Serving, addresses: &Addresses, ready: &Arc<AtomicBool>) -> Looks {
    Looks {
        names: serving.names(),
        https: addresses.https,
        ready: ready.clone(),
    }
}

fn gate(settings: &Settings, max_connections: u32) -> Gate {
    Gate {
        stats: Arc::new(ConnectionStats::new(max_connections, MAX_PORTAL_REQUESTS)),
        peers: Arc::new(TrustedPeers {
            proxy_protocol: settings.proxy_protocol.clone(),
            http_proxies: settings.trusted_proxies.clone(),
        }),
    }
}

fn door(settings: &Settings, discovery: &Arc<Discovery>, node: &Member, lanes: &Arc<Lanes>) -> FrontDoor {
    FrontDoor {
        discovery: discovery.clone(),
        logs: Arc::new(lanes.clone()),
        portal_host: settings.portal_host.as_str().into(),
        edge_host: settings.edge_host.as_str().into(),
        validation: node.validation(),
    }
}

/// From the database, or from the last snapshot if the database is away.
async fn fill(publisher: &mut Publisher, is_database_there: bool) {
    if is_database_there {
        match publisher.load().await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the directory can't be loaded from the database"),
        }
    }
    publisher.load_snapshot().await;
}

async fn publish(publisher: Publisher, installation: Arc<Installation>, cancel: CancellationToken) {
    if cancel
        .run_until_cancelled(installation.prepare_when_back())
        .await
        .is_some()
    {
        publisher.run(cancel).await;
    }
}

fn start_request_log(tasks: &mut Tasks, spool: &Arc<Spool>, shipper: &Arc<Shipper>) {
    tasks.spawn("request log", ship(shipper.clone(), tasks.cancel()));
    let keeper = keeper::run(spool.clone(), shipper.clone(), tasks.cancel());
    tasks.spawn("request log's disk", keeper);
}

async fn ship(shipper: Arc<Shipper>, cancel: CancellationToken) {
    shipper.run(cancel).await;
}

async fn keep_database(installation: Arc<Installation>, cancel: CancellationToken) {
    installation.postgres.supervise(cancel).await;
}

/// The root of the internal CA, for whoever tries Signpost.
#[must_use]
pub fn ca_file(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("ca.pem")
}
