//! One look: a handshake, and its verdict. What is not as expected is looked at twice, the second time by what the
//! database says then.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio::{net::TcpStream, time::timeout};
use uuid::Uuid;

use super::{Expected, Looked, Shown, State, Verdict, handshake::Handshakes, judge, store};
use crate::{
    clock::{self, DatabaseTime},
    outbound::{ConnectError, Outbound},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Whose certificates should be served, and for which names beside the domains'.
#[derive(Clone)]
pub struct Names {
    pub issuer: String,
    pub own_hosts: Vec<String>,
}

/// Looks from this node. Cheap to clone.
#[derive(Clone)]
pub struct Looker {
    pub pool: PgPool,
    pub names: Names,
    pub node_id: Uuid,
    /// Whether the node's listeners are open: nothing is to be said of a node that starts or stops.
    pub is_open: Arc<AtomicBool>,
    pub(super) handshakes: Handshakes,
}

/// Where it is looked.
#[derive(Clone)]
pub enum Place {
    /// The node's own listener.
    Own(SocketAddr),
    Public(SocketAddr, Outbound),
}

pub enum Outcome {
    Seen(Looked),
    TooEarly(Expected),
    /// Nothing is to be seen: the name is no longer served, or the node stops.
    Gone,
}

impl Looker {
    pub fn new(pool: PgPool, names: Names, node_id: Uuid, is_open: Arc<AtomicBool>) -> Result<Self, rustls::Error> {
        Ok(Self {
            pool,
            names,
            node_id,
            is_open,
            handshakes: Handshakes::new()?,
        })
    }

    pub async fn look(&self, place: &Place, expected: Expected) -> Result<Outcome, sqlx::Error> {
        let shown = self.shown(place, &expected.hostname).await;
        let now = clock::read(&self.pool).await?;
        if judge(&shown, &expected, now.get()) == Verdict::Is(State::Current) {
            return Ok(Outcome::Seen(looked(place, &expected, shown, (State::Current, now))));
        }
        let mut db = self.pool.acquire().await?;
        let found = store::find_expected(&mut db, &self.names, &expected.hostname).await?;
        drop(db);
        let Some(expected) = found else {
            return Ok(Outcome::Gone);
        };
        let shown = self.shown(place, &expected.hostname).await;
        if !self.is_open.load(Ordering::Acquire) {
            return Ok(Outcome::Gone);
        }
        let now = clock::read(&self.pool).await?;
        Ok(match judge(&shown, &expected, now.get()) {
            Verdict::Is(state) => Outcome::Seen(looked(place, &expected, shown, (state, now))),
            Verdict::TooEarly => Outcome::TooEarly(expected),
        })
    }

    async fn shown(&self, place: &Place, hostname: &str) -> Shown {
        match place.connect().await {
            Ok(stream) => self.handshakes.shake(stream, hostname).await,
            Err(_) => Shown::Unreachable,
        }
    }

    pub async fn keep(&self, looked: &[Looked]) -> Result<(), sqlx::Error> {
        if looked.is_empty() {
            return Ok(());
        }
        store::upsert(&mut *self.pool.acquire().await?, self.node_id, looked).await
    }
}

impl Place {
    async fn connect(&self) -> Result<TcpStream, ConnectError> {
        match self {
            Self::Own(address) => match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(connected) => connected.map_err(ConnectError::from),
                Err(_) => Err(ConnectError::Timeout),
            },
            Self::Public(address, outbound) => outbound.connect(*address, PATIENCE).await,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Own(_) => String::new(),
            Self::Public(address, _) => address.to_string(),
        }
    }
}

fn looked(place: &Place, expected: &Expected, shown: Shown, (state, at): (State, DatabaseTime)) -> Looked {
    Looked {
        hostname: expected.hostname.clone(),
        address: place.name(),
        state,
        shown,
        at,
    }
}
