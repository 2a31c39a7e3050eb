//! Looks at everything that this node serves, all the time and at its leisure, and at once at what was just stored.
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::mpsc::Sender, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Expected, Looked, Served, State,
    look::{Looker, Outcome, Place},
    schedule::{Changed, PACE, pace},
    store,
};
use crate::clock::{self, DatabaseTime};

/// Between two questions whether anything was stored.
const READ: Duration = Duration::from_secs(2);
/// While the database is away, or the node is not open.
const RETRY: Duration = Duration::from_secs(1);
const PAGE: i64 = 200;

pub struct Watch {
    looker: Looker,
    own: Place,
    served: Arc<Served>,
    /// Told of each change that this node serves.
    changes: Option<Sender<Expected>>,
    changed: Changed,
    walk: Walk,
    read_at: Instant,
    looked: Vec<Looked>,
    is_unreachable: bool,
}

struct Walk {
    page: VecDeque<Expected>,
    after: String,
    /// `None`: it has not begun.
    began_at: Option<DatabaseTime>,
    pace: Duration,
    next_at: Instant,
}

impl Watch {
    /// `listener`: where this node's own HTTPS listener is reached.
    #[must_use]
    pub fn new(looker: Looker, listener: SocketAddr, served: Arc<Served>, changes: Option<Sender<Expected>>) -> Self {
        let now = Instant::now();
        Self {
            looker,
            own: Place::Own(listener),
            served,
            changes,
            changed: Changed::default(),
            walk: Walk {
                page: VecDeque::new(),
                after: String::new(),
                began_at: None,
                pace: pace(0, true),
                next_at: now,
            },
            read_at: now,
            looked: Vec::new(),
            is_unreachable: false,
        }
    }

    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            let pause = tokio::select! {
                () = cancel.cancelled() => return,
                // That the database is away is said elsewhere.
                stepped = self.step() => stepped.unwrap_or(RETRY),
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look at most. Returns how long to wait before the next step.
    async fn step(&mut self) -> Result<Duration, sqlx::Error> {
        if !self.looker.is_open.load(Ordering::Acquire) {
            return Ok(RETRY);
        }
        let now = Instant::now();
        if now >= self.read_at {
            self.read(now).await?;
        }
        if let Some(expected) = self.changed.next(now) {
            self.look(expected, true).await?;
            return Ok(PACE);
        }
        if now >= self.walk.next_at {
            self.walk_on().await?;
            self.walk.next_at = now + self.walk.pace;
        }
        let next = [Some(self.read_at), Some(self.walk.next_at), self.changed.due()];
        let next = next.into_iter().flatten().min().unwrap_or(now);
        Ok(next.saturating_duration_since(Instant::now()).max(PACE))
    }

    async fn read(&mut self, now: Instant) -> Result<(), sqlx::Error> {
        self.read_at = now + READ;
        self.looker.keep(&self.looked).await?;
        self.looked.clear();
        let mut db = self.looker.pool.acquire().await?;
        let recent = store::list_recent(&mut db, &self.looker.names, PAGE).await?;
        self.changed.add(recent, now);
        Ok(())
    }

    async fn walk_on(&mut self) -> Result<(), sqlx::Error> {
        if let Some(expected) = self.walk.page.pop_front() {
            return self.look(expected, false).await;
        }
        let (mut db, now) = clock::acquire(&self.looker.pool).await?;
        let began_at = *self.walk.began_at.get_or_insert(now);
        let page = store::list_expected(&mut db, &self.looker.names, &self.walk.after, PAGE).await?;
        if let Some(last) = page.last() {
            self.walk.after.clone_from(&last.hostname);
            self.walk.page = page.into();
            return Ok(());
        }
        // Once round. What was not met is no longer to be served.
        store::delete_before(&mut db, self.looker.node_id, began_at).await?;
        let names = store::count_certificates(&mut db, &self.looker.names.issuer).await?;
        self.served.forget_before(began_at.get());
        self.walk.after.clear();
        self.walk.began_at = Some(now);
        self.walk.pace = pace(names, false);
        Ok(())
    }

    async fn look(&mut self, expected: Expected, has_changed: bool) -> Result<(), sqlx::Error> {
        let stored = expected.clone();
        match self.looker.look(&self.own, expected).await? {
            Outcome::Seen(looked) => {
                if let (State::Current, true, Some(changes)) = (looked.state, has_changed, &self.changes) {
                    // A sample: what finds no room is left out.
                    changes.try_send(stored).ok();
                }
                self.remember(looked);
            }
            Outcome::TooEarly(expected) => self.changed.again(expected, Instant::now()),
            Outcome::Gone => self.served.forget(&stored.hostname),
        }
        Ok(())
    }

    fn remember(&mut self, looked: Looked) {
        let before = self.served.remember(&looked);
        let is_unreachable = looked.state == State::Unreachable;
        let was_unreachable = std::mem::replace(&mut self.is_unreachable, is_unreachable);
        match looked.state {
            State::Unreachable if was_unreachable => {}
            // Of the listener, not of the name.
            State::Unreachable => tracing::warn!("this node's own HTTPS listener can't be reached"),
            state if before == Some(state) => {}
            State::Current => {
                if before.is_some_and(|before| before != State::Unreachable) {
                    tracing::info!(hostname = looked.hostname, "the current certificate is served again");
                }
            }
            state @ (State::Outdated | State::Expired | State::None) => tracing::warn!(
                hostname = looked.hostname,
                state = state.as_str(),
                "a device would not get the current certificate"
            ),
        }
        self.looked.push(looked);
    }
}
