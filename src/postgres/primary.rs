//! Watches the database, and keeps the pools at the primary. Of several servers it is the one that is no replica, and of
//! two that both believe to be it, the one that was promoted last. What it sees becomes the [`Availability`].
//!
//! A server that falls silent without ending its connections (a network that is cut, a host that is frozen) would hold
//! whoever waits for its answer, for hours: their connections are cut as soon as a primary answers anew.
use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use sqlx::{ConnectOptions, Connection, Error, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

use super::{Availability, DatabaseFault, sockets, store};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks while the database is away.
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// Between a failed request and the look that it causes: many may fail at once.
const FAILED_PAUSE: Duration = Duration::from_millis(50);
/// Longer than a busy server needs for the least of questions.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a new connection and its first answer.
const CONNECT: Duration = Duration::from_secs(2);
/// Looks at the primary until all servers are looked at by new connections: one may have been promoted while the old one
/// goes on, and a server may refuse new sessions.
const ROUND: u32 = 10;

/// The servers that were named.
pub(super) struct Servers {
    /// In their order.
    all: Vec<PgConnectOptions>,
    /// Which of them the pools connect to.
    at: AtomicUsize,
}

/// The one that takes writes, or would if it were not read-only.
struct Primary {
    server: usize,
    /// How often a replica was promoted before ("Timelines" in PostgreSQL's manual). `None`: it is a replica, and the
    /// only server.
    timeline: Option<i32>,
    is_read_only: bool,
    connection: PgConnection,
}

/// What a look at the primary shows.
enum Look {
    Fine,
    /// A new session tells more: the connection has ended, the server is a replica now, or read-only.
    Unclear,
    Silent,
}

impl Servers {
    pub fn new(all: Vec<PgConnectOptions>) -> Self {
        let at = AtomicUsize::new(0);
        Self { all, at }
    }

    pub fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Where to begin: with the first that was named.
    pub fn first(&self) -> PgConnectOptions {
        super::dressed(self.all[0].clone())
    }

    /// Lets the pools begin with the primary. An error if none answers within `patience`.
    pub async fn begin(&self, pools: [&PgPool; 2], patience: Duration) -> Result<(), Error> {
        if !self.are_several() {
            let asked = timeout(patience, async { self.all[0].connect().await?.close().await });
            return asked.await.map_err(|_| Error::PoolTimedOut)?;
        }
        let found = self.find(patience).await?;
        self.move_to(found.server, pools);
        Ok(())
    }

    /// Returns whether they were elsewhere.
    fn move_to(&self, server: usize, pools: [&PgPool; 2]) -> bool {
        let has_moved = self.at.swap(server, Ordering::Relaxed) != server;
        if has_moved {
            let options = super::dressed(self.all[server].clone());
            pools.iter().for_each(|pool| pool.set_connect_options(options.clone()));
        }
        has_moved
    }

    /// Looks after the pools. Does not return.
    pub async fn watch(&self, pools: [&PgPool; 2], availability: &Availability) {
        // Of the connections that were made before the first look, too.
        let at = self.at.load(Ordering::Relaxed);
        let mut addresses: HashSet<_> = self.addresses(at).await.into_iter().collect();
        let (mut primary, mut looks) = (None, 0_u32);
        // Whether somebody may still wait for an answer that does not come.
        let mut fell_silent = false;
        loop {
            let look = match &mut primary {
                // The setting of a session that began read-only says nothing of new ones.
                Some(primary) if !availability.is_read_only() => look(primary).await,
                _ => Look::Unclear,
            };
            let is_fine = matches!(look, Look::Fine);
            if is_fine {
                availability.set_reachable(false);
            }
            if !is_fine || looks.is_multiple_of(ROUND) {
                fell_silent |= matches!(look, Look::Silent);
                match self.find(CONNECT).await {
                    Ok(found) => {
                        self.follow(&found, pools, &mut addresses, std::mem::take(&mut fell_silent))
                            .await;
                        availability.set_reachable(found.is_read_only);
                        primary = Some(found);
                    }
                    // Sessions that exist go on; new ones are refused.
                    Err(error) if is_fine => availability.report(DatabaseFault::Refused, &error.to_string()),
                    Err(error) => {
                        fell_silent = true;
                        primary = None;
                        availability.set_away(&error);
                    }
                }
            }
            let pause = if availability.is_away() { AWAY_PAUSE } else { PAUSE };
            tokio::select! {
                () = sleep(pause) => looks = looks.wrapping_add(1),
                () = failed(availability) => {}
            }
        }
    }

    /// Lets the pools connect to `found`, and cuts what still waits for the server of before.
    async fn follow(
        &self,
        found: &Primary,
        pools: [&PgPool; 2],
        addresses: &mut HashSet<SocketAddr>,
        fell_silent: bool,
    ) {
        // Before those of the old one are cut: whoever is told of their end connects anew.
        let has_moved = self.move_to(found.server, pools);
        if has_moved {
            tracing::warn!(
                host = self.all[found.server].get_host(),
                "the database has another primary"
            );
        }
        if fell_silent || has_moved {
            let connections = sockets::cut(addresses);
            if connections > 0 {
                tracing::info!(connections, "connections to the database as it was are cut");
            }
            addresses.clear();
        }
        addresses.extend(self.addresses(found.server).await);
    }

    /// Of those that answer and are no replica, the one that was promoted last; of two alike, the first that was named.
    /// The only server there is may be a replica.
    async fn find(&self, patience: Duration) -> Result<Primary, Error> {
        let ask = async |server: usize| {
            let asked = timeout(patience, async {
                let mut connection = self.all[server].connect().await?;
                let state = store::find_state(&mut connection).await?;
                Ok::<_, Error>(Primary {
                    server,
                    timeline: state.timeline,
                    is_read_only: state.is_read_only,
                    connection,
                })
            });
            let silent = || Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database does not answer"));
            let primary = asked.await.map_err(|_| silent())??;
            if self.are_several() && primary.timeline.is_none() {
                return Err(Error::Protocol("this server is a replica".to_owned()));
            }
            Ok(primary)
        };
        let (mut found, mut failed) = (Vec::new(), None);
        for asked in join_all((0..self.all.len()).map(ask)).await {
            match asked {
                Ok(primary) => found.push(primary),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let newest = found.into_iter().rev().max_by_key(|primary| primary.timeline);
        newest.ok_or_else(|| failed.unwrap_or(Error::PoolTimedOut))
    }

    /// None of a server that is reached by a Unix socket.
    async fn addresses(&self, server: usize) -> Vec<SocketAddr> {
        let server = &self.all[server];
        if server.get_socket().is_some() {
            return Vec::new();
        }
        let host = server.get_host().trim_matches(['[', ']']);
        match timeout(CONNECT, tokio::net::lookup_host((host, server.get_port()))).await {
            Ok(Ok(found)) => found.collect(),
            _ => Vec::new(),
        }
    }
}

/// For a pool's new connection: of several servers it keeps none to a replica, which would refuse every change.
pub(super) async fn refuse_replica(connection: &mut PgConnection) -> Result<(), Error> {
    match store::find_state(connection).await?.timeline {
        Some(_) => Ok(()),
        None => Err(Error::Protocol("this server is a replica".to_owned())),
    }
}

async fn look(primary: &mut Primary) -> Look {
    match timeout(PATIENCE, store::find_state(&mut primary.connection)).await {
        Ok(Ok(state)) if state.timeline == primary.timeline && !state.is_read_only && !state.new_are_read_only => {
            Look::Fine
        }
        Ok(_) => Look::Unclear,
        Err(_) => Look::Silent,
    }
}

/// Returns a moment after a request has failed.
async fn failed(availability: &Availability) {
    availability.failed().await;
    sleep(FAILED_PAUSE).await;
}
