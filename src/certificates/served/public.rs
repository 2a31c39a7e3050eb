//! A sample seen from further outside: what was just renewed, at the public addresses. Between them and the nodes may
//! stand what no node sees.
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::{
    Expected, Looked, State,
    look::{Looker, Outcome, Place},
};
use crate::outbound::Outbound;

/// Every node has it then.
const LATER: Duration = Duration::from_secs(15);
/// Changes that wait; others are left out.
const ROOM: usize = 32;
/// Names of which it is remembered what was said.
const REMEMBERED: usize = 1_000;

pub struct Public {
    looker: Looker,
    places: Vec<Place>,
    changes: Receiver<Expected>,
    said: HashMap<(String, String), State>,
    unreachable: HashSet<String>,
}

impl Public {
    /// `None` if none of `addresses` may be asked.
    #[must_use]
    pub fn new(looker: Looker, addresses: &[SocketAddr], outbound: &Outbound) -> Option<(Self, Sender<Expected>)> {
        let permitted = addresses.iter().filter(|address| outbound.permits(**address).is_ok());
        let places: Vec<_> = permitted
            .map(|address| Place::Public(*address, outbound.clone()))
            .collect();
        if places.is_empty() {
            return None;
        }
        let (sender, changes) = mpsc::channel(ROOM);
        let public = Self {
            looker,
            places,
            changes,
            said: HashMap::new(),
            unreachable: HashSet::new(),
        };
        Some((public, sender))
    }

    pub async fn run(mut self, cancel: CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.look_at_changes() => cancel.cancelled().await,
        }
    }

    async fn look_at_changes(&mut self) {
        while let Some(expected) = self.changes.recv().await {
            tokio::time::sleep(LATER).await;
            self.look(&expected).await;
        }
    }

    /// One look at each place.
    pub async fn look(&mut self, expected: &Expected) {
        for place in self.places.clone() {
            // Without the database there is nothing to compare with.
            if let Ok(Outcome::Seen(looked)) = self.looker.look(&place, expected.clone()).await {
                self.say(&looked);
                self.looker.keep(&[looked]).await.ok();
            }
        }
    }

    fn say(&mut self, looked: &Looked) {
        let (hostname, address) = (&looked.hostname, &looked.address);
        if looked.state == State::Unreachable {
            // From inside, a public address often leads nowhere.
            if self.unreachable.insert(address.clone()) {
                tracing::info!(address, "a public address can't be reached from this node");
            }
            return;
        }
        self.unreachable.remove(address);
        if self.said.len() >= REMEMBERED {
            self.said.clear();
        }
        let before = self.said.insert((hostname.clone(), address.clone()), looked.state);
        if looked.state != State::Current && before != Some(looked.state) {
            tracing::warn!(
                hostname,
                address,
                state = looked.state.as_str(),
                "at a public address a device would not get the current certificate"
            );
        }
    }
}
