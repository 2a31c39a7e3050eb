//! Keeps the pools at the primary. Of several servers it is the one that is no replica, and of two that both believe to
//! be it, the one that was promoted last.
//!
//! A server that falls silent without ending its connections (a network that is cut, a host that is frozen) would hold
//! whoever waits for its answer, for hours: their connections are cut as soon as a primary answers anew.
use std::{collections::HashSet, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use sqlx::{
    Error, PgConnection, PgPool,
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

/// The servers that were named, in their order.
pub(super) struct Servers(Vec<PgConnectOptions>);

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
    pub fn new(servers: Vec<PgConnectOptions>) -> Self {
        Self(servers)
    }

    fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Where to begin: of several the primary, if one is found at once.
    pub async fn first(&self) -> PgConnectOptions {
        let found = match self.are_several() {
            true => self.find().await,
            false => None,
        };
        self.0[found.map_or(0, |primary| primary.server)].clone()
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
        let (mut primary, mut at, mut addresses) = (None, None, HashSet::new());
        let mut looks = 0_u32;
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
            let Some(found) = self.find().await else {
                continue;
            };
            let has_moved = at.is_some_and(|server| server != found.server);
            if has_moved {
                tracing::warn!(
                    host = self.0[found.server].get_host(),
                    "the database has another primary"
                );
            }
            if has_moved || matches!(look, Look::Silent) {
                let connections = sockets::cut(&addresses);
                tracing::warn!(connections, "connections to the database as it was are cut");
                addresses.clear();
            }
            if at != Some(found.server) {
                let pool = |pool: &&PgPool| pool.set_connect_options(super::dressed(self.0[found.server].clone()));
                pools.iter().for_each(pool);
            }
            at = Some(found.server);
            addresses.extend(self.addresses(found.server).await);
            primary = Some(found);
        }
    }

    /// Of those that answer and are no replica, the one that was promoted last; of two alike, the first that was named.
    async fn find(&self) -> Option<Primary> {
        let ask = async |server: usize| {
            let asked = timeout(CONNECT, async {
                let mut connection = <PgConnection as sqlx::Connection>::connect_with(&self.0[server]).await?;
                let timeline = store::timeline(&mut connection).await?;
                Ok::<_, Error>(timeline.map(|timeline| Primary {
                    server,
                    timeline,
                    connection,
                }))
            });
            asked.await.ok()?.ok()?
        };
        let found = join_all((0..self.0.len()).map(ask)).await;
        found.into_iter().rev().flatten().max_by_key(|primary| primary.timeline)
    }

    /// None of a server that is reached by a Unix socket.
    async fn addresses(&self, server: usize) -> Vec<SocketAddr> {
        let server = &self.0[server];
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
