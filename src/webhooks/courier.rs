//! Brings deliveries to their endpoints. Each is claimed by lease, so that of several nodes one brings it; one may arrive
//! twice if that node dies between sending and noting it, and never not at all. A slow endpoint holds up nobody else's.
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Reason, WebhookError,
    attempt::{Came, Sender, Verdict},
    deliveries::store::{self as deliveries, Attempted, Due},
    events::Events,
    mails,
    schedule::{self, Failed, Held, Next, room},
    store,
};
use crate::{
    accounts::Operator,
    clock::{self, DatabaseTime},
};

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Longer than an attempt and what is written of it.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// Between two counts of what waits.
const COUNT: Duration = Duration::from_secs(30);

pub struct Courier {
    pub events: Events,
    pub sender: Sender,
    pub backlog: Arc<Backlog>,
}

/// What waits on all nodes, as this one counted last.
#[derive(Default)]
pub struct Backlog {
    waiting: AtomicI64,
    failing: AtomicI64,
}

impl Backlog {
    /// All that wait.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Those of them that have failed before.
    #[must_use]
    pub fn failing(&self) -> i64 {
        self.failing.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Work<'a> {
    held: Vec<Held>,
    running: FuturesUnordered<BoxFuture<'a, Uuid>>,
}

impl Work<'_> {
    /// Returns when some of it is over; never without work.
    async fn is_less(&mut self) {
        match self.running.next().await {
            Some(done) => self.held.retain(|held| held.delivery_id != done),
            None => std::future::pending().await,
        }
        // Those that ended together are replaced together.
        while let Some(Some(done)) = self.running.next().now_or_never() {
            self.held.retain(|held| held.delivery_id != done);
        }
    }

    /// The work may have locked a row, or borrowed a connection, that `future` waits for: neither may stand still.
    async fn goes_on_during<T>(&mut self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return done,
                () = self.is_less() => {}
            }
        }
    }
}

impl Courier {
    /// Until `cancel`. Nothing that goes wrong ends it.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut work = Work::default();
        let mut counted: Option<Instant> = None;
        loop {
            let held = work.held.clone();
            let looked = tokio::select! {
                () = cancel.cancelled() => break,
                looked = work.goes_on_during(self.look(&held, &mut counted)) => looked,
            };
            match looked {
                Ok(due) => {
                    for due in due {
                        work.held.push(due.held);
                        work.running.push(self.see_to(due));
                    }
                }
                Err(error) => crate::telemetry::log_failed_work("webhooks wait", error),
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = work.goes_on_during(tokio::time::sleep(LOOK)) => {}
            }
        }
        let Work { held, running } = work;
        drop(running);
        if let Ok(mut db) = self.events.pool.acquire().await
            && let Err(error) = deliveries::give_back(&mut db, Operator::checking(), &held).await
        {
            tracing::warn!(%error, "webhooks under way wait for the end of their lease");
        }
    }

    /// Hands on what has happened, and claims what is due.
    async fn look(&self, held: &[Held], counted: &mut Option<Instant>) -> Result<Vec<Due>, sqlx::Error> {
        let now = clock::read(&self.events.pool).await?;
        if counted.is_none_or(|at| at.elapsed() >= COUNT) {
            self.count().await?;
            *counted = Some(Instant::now());
        }
        while self.events.hand_on(now).await? > 0 {}
        self.claim(held, now).await
    }

    async fn count(&self) -> Result<(), sqlx::Error> {
        let mut db = self.events.pool.acquire().await?;
        let (waiting, failing) = deliveries::count(&mut db, Operator::checking()).await?;
        self.backlog.waiting.store(waiting, Ordering::Relaxed);
        self.backlog.failing.store(failing, Ordering::Relaxed);
        Ok(())
    }

    /// What this node may bring beside what it holds.
    pub async fn claim(&self, held: &[Held], now: DatabaseTime) -> Result<Vec<Due>, sqlx::Error> {
        let room = room(held);
        if room.limit == 0 {
            return Ok(Vec::new());
        }
        let mut db = self.events.pool.acquire().await?;
        deliveries::claim_due(&mut db, Operator::checking(), &room, now, now + LEASE).await
    }

    fn see_to(&self, due: Due) -> BoxFuture<'_, Uuid> {
        Box::pin(async move {
            let id = due.held.delivery_id;
            // What it reads is written by strangers: should one of them find a way to make it panic, the server goes on.
            match AssertUnwindSafe(self.bring(&due)).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => crate::telemetry::log_failed_work("an attempt could not be noted", error),
                Err(_) => tracing::error!(webhook.delivery = %id, "a delivery panicked"),
            }
            id
        })
    }

    /// One attempt, and what follows from it.
    pub async fn bring(&self, due: &Due) -> Result<(), WebhookError> {
        let came = self
            .sender
            .send(&self.events.keyring, due, clock::read(&self.events.pool).await?)
            .await;
        self.note(due, &came).await
    }

    async fn note(&self, due: &Due, came: &Came) -> Result<(), WebhookError> {
        let scope = Operator::checking().scope(due.held.organisation_id);
        let (mut tx, now) = clock::begin(&self.events.pool).await?;
        let Some(endpoint) = store::lock(&mut tx, &scope, due.held.endpoint_id).await? else {
            return Ok(());
        };
        let failing_since = match came.verdict {
            Verdict::Delivered => None,
            Verdict::Failed | Verdict::Gone => Some(endpoint.failing_since.unwrap_or(now.get())),
        };
        let failed = Failed {
            delivery_id: due.held.delivery_id,
            attempts: due.attempts,
            failing_since,
            asked_to_wait: came.asked_to_wait,
        };
        let is_on = endpoint.disabled.is_none();
        let (again, disabled) = match (came.verdict, schedule::after(&failed, now.get())) {
            (Verdict::Delivered, _) => (None, None),
            (Verdict::Gone, _) => (None, Some(Reason::Gone)),
            (Verdict::Failed, Next::At(at)) => (Some(at).filter(|_| is_on), None),
            (Verdict::Failed, Next::GiveUp) => (None, None),
            (Verdict::Failed, Next::Disable) => (None, Some(Reason::Failing)),
        };
        let attempted = Attempted {
            now,
            status: came.status,
            text: &came.text,
            duration_ms: i32::try_from(came.took.as_millis()).unwrap_or(i32::MAX),
        };
        let is_delivered = came.verdict == Verdict::Delivered;
        if !deliveries::set_attempted(&mut tx, due, &attempted, is_delivered, again).await? {
            // Somebody else has it now, and notes their own.
            return Ok(());
        }
        store::set_failing(&mut tx, &scope, endpoint.id, failing_since).await?;
        if let Some(reason) = disabled.filter(|_| is_on) {
            super::disable(&mut tx, &scope, endpoint.id, reason, now).await?;
            let details = serde_json::json!({ "reason": reason.as_str() });
            super::record(&mut tx, &scope, &endpoint, "webhook_endpoint.disabled", details).await?;
            let means = (&*self.events.keyring, &*self.events.portal_url);
            let whose = (due.held.organisation_id, &endpoint);
            mails::endpoint_disabled(&mut tx, means, whose, reason, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
