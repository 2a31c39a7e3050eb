//! Keeps the pools at the primary. Of several servers it is the one that is no replica, and of two that both believe to
//! be it, the one that was promoted last.
//!
//! A server that falls silent without ending its connections (a network that is cut, a host that is frozen) would hold
//! whoever waits for its answer, for hours: their connections are cut as soon as a primary answers anew.
use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use sqlx::{
    ConnectOptions, Connection, Error, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{sockets, store};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than a busy server needs for the least of questions.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a new connection and its first answer.
const CONNECT: Duration = Duration::from_secs(2);
/// Looks at the primary until all servers are looked at: one may have been promoted while the old one goes on.
const ROUND: u32 = 10;

/// The servers that were named.
pub(super) struct Servers {
    /// In their order.
    all: Vec<PgConnectOptions>,
    /// Which of them the pools connect to.
    at: AtomicUsize,
}

/// One that takes writes.
struct Primary {
    server: usize,
    /// How often a replica was promoted before ("Timelines" in PostgreSQL's manual).
    timeline: i32,
    connection: PgConnection,
}

/// What a look at the primary shows.
enum Look {
    Fine,
    /// Its connection has ended, or it is a replica now.
    Ended,
    Silent,
}

impl Servers {
    pub fn new(all: Vec<PgConnectOptions>) -> Self {
        let at = AtomicUsize::new(0);
        Self { all, at }
    }

    fn are_several(&self) -> bool {
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
        let found = self.find(patience).await.ok_or(Error::PoolTimedOut)?;
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

    /// For a pool: of several servers it keeps no connection to a replica, which would refuse every change.
    pub fn refuse_replicas(&self, pool: PgPoolOptions) -> PgPoolOptions {
        match self.are_several() {
            false => pool,
            true => pool.after_connect(|connection, _| {
                Box::pin(async move {
                    let is_replica = || Error::Protocol("this server is a replica".to_owned());
                    store::timeline(connection).await?.map(drop).ok_or_else(is_replica)
                })
            }),
        }
    }

    /// Looks after the pools until `cancel`.
    pub async fn watch(&self, pools: [&PgPool; 2], cancel: CancellationToken) {
        // Of the connections that were made before the first look, too.
        let at = self.at.load(Ordering::Relaxed);
        let mut addresses: HashSet<_> = self.addresses(at).await.into_iter().collect();
        let (mut primary, mut looks) = (None, 0_u32);
        // Whether somebody may still wait for an answer that does not come.
        let mut fell_silent = false;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(PAUSE) => looks += 1,
            }
            let look = look(primary.as_mut()).await;
            let is_round = self.are_several() && looks.is_multiple_of(ROUND);
            if matches!(look, Look::Fine) && !is_round {
                continue;
            }
            fell_silent |= matches!(look, Look::Silent);
            let Some(found) = self.find(CONNECT).await else {
                fell_silent = true;
                continue;
            };
            // Before those of the old one are cut: whoever is told of their end connects anew.
            let has_moved = self.move_to(found.server, pools);
            if has_moved {
                tracing::warn!(
                    host = self.all[found.server].get_host(),
                    "the database has another primary"
                );
            }
            if std::mem::take(&mut fell_silent) || has_moved {
                let connections = sockets::cut(&addresses);
                tracing::warn!(connections, "connections to the database as it was are cut");
                addresses.clear();
            }
            addresses.extend(self.addresses(found.server).await);
            primary = Some(found);
        }
    }

    /// Of those that answer and are no replica, the one that was promoted last; of two alike, the first that was named.
    async fn find(&self, patience: Duration) -> Option<Primary> {
        let ask = async |server: usize| {
            let asked = timeout(patience, async {
                let mut connection = self.all[server].connect().await?;
                let timeline = store::timeline(&mut connection).await?;
                Ok::<_, Error>(timeline.map(|timeline| Primary {
                    server,
                    timeline,
                    connection,
                }))
            });
            asked.await.ok()?.ok()?
        };
        let found = join_all((0..self.all.len()).map(ask)).await;
        found.into_iter().rev().flatten().max_by_key(|primary| primary.timeline)
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

async fn look(primary: Option<&mut Primary>) -> Look {
    let Some(primary) = primary else {
        return Look::Ended;
    };
    match timeout(PATIENCE, store::timeline(&mut primary.connection)).await {
        Ok(Ok(Some(_))) => Look::Fine,
        Ok(_) => Look::Ended,
        Err(_) => Look::Silent,
    }
}
