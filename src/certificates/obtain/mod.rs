//! Obtains what is missing and renews what is due, of whichever issuer. Work is claimed by row lease, so that of several
//! nodes one does it; a lease's epoch fences off a node that overslept.
mod internal;
mod places;

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use places::Room;

use super::{
    Issuer,
    decisions::breaker::Admission,
    expiry,
    failure::Failure,
    orders::{Attempt, Stop},
    standing::{self, Board},
    turns::{self, Eligible, Lease, Turn},
    wanted::Wanted,
};
use crate::{
    clock::{self, DatabaseTime},
    sealed::Keyring,
    work::clock_watch::ClockWatch,
};

/// A node that died has its work taken over after this.
const LEASE: TimeDelta = TimeDelta::seconds(30);
const EXTEND: Duration = Duration::from_secs(8);
/// Between two looks at what is due, when nobody tells.
const LOOK: Duration = Duration::from_secs(2);
/// For faults of our own.
const AFTER_A_FAULT: TimeDelta = TimeDelta::minutes(10);
/// Renewals in an hour, of an installation with few certificates; of one with many it is a tenth of them. A clock that
/// is months ahead then does not have all certificates replaced at once.
const MIN_RENEWALS_PER_HOUR: i64 = 10;
/// Between two looks at everything.
const SWEEP: Duration = Duration::from_secs(60);

/// What was claimed, and how it got past the breaker.
type Claimed = (Vec<Turn>, Admission);

pub struct Obtainer {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub issuer: Arc<Issuer>,
    pub eligible: Eligible,
    pub wanted: Arc<Wanted>,
    pub board: Arc<Board>,
    pub clock: Arc<ClockWatch>,
    /// Whether renewals wait because many were made within the hour.
    pub are_renewals_limited: AtomicBool,
}

impl Obtainer {
    /// Until `cancel`. Nothing that goes wrong ends it.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut swept: Option<Instant> = None;
        let mut work = Work::default();
        loop {
            let room = match &*self.issuer {
                Issuer::Internal(_) => internal::room(&work.held),
                Issuer::Acme(_) => places::room(&work.held),
            };
            let looked = tokio::select! {
                () = cancel.cancelled() => break,
                looked = work.goes_on_during(self.look(room, &mut swept)) => looked,
            };
            match looked {
                Ok((turns, admitted)) => {
                    for turns in self.issuer.portions(turns) {
                        work.held.extend(turns.iter().cloned());
                        work.running.push(self.see_to(turns, admitted));
                    }
                }
                Err(error) => {
                    // What was told meanwhile is lost: everything is looked at when the database is back.
                    swept = None;
                    warn(Err(error));
                }
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.wanted.told() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = work.is_less() => {}
            }
        }
        let Work { held, running } = work;
        drop(running);
        if let Ok(mut db) = self.pool.acquire().await {
            warn(turns::store::give_back(&mut db, &self.eligible.issuer, &held).await);
        }
    }

    async fn look(&self, room: Room, swept: &mut Option<Instant>) -> Result<Claimed, sqlx::Error> {
        self.clock.wait_until_trusted().await;
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.sweep().await?;
            *swept = Some(Instant::now());
        }
        self.claim(room).await
    }

    /// Finds what nobody told of, and lets go of what is over.
    async fn sweep(&self) -> Result<(), sqlx::Error> {
        let (mut db, now) = clock::acquire(&self.pool).await?;
        turns::store::want_all(&mut db, &self.eligible, now).await?;
        turns::store::raise_urgency(&mut db, &self.eligible.issuer, now).await?;
        drop(db);
        // What only tells keeps nobody from a certificate.
        warn(self.tell().await);
        Ok(())
    }

    /// Warns of what expires, and counts.
    async fn tell(&self) -> Result<(), sqlx::Error> {
        let (mut db, now) = clock::acquire(&self.pool).await?;
        expiry::warn(&mut db, &self.eligible.issuer, now).await?;
        let limits = match &*self.issuer {
            Issuer::Acme(orders) => orders.limits.orders,
            Issuer::Internal(_) => None,
        };
        let window = limits.map_or(TimeDelta::zero(), |limit| limit.per);
        let mut standing = standing::store::count(&mut db, &self.eligible.issuer, window, now).await?;
        standing.orders_left = limits.map(|limit| i64::from(limit.count) - standing.orders);
        self.board.set(standing);
        Ok(())
    }

    async fn claim(&self, room: Room) -> Result<Claimed, sqlx::Error> {
        let hinted = self.wanted.take();
        let (mut db, now) = clock::acquire(&self.pool).await?;
        if !hinted.is_empty() {
            turns::store::want(&mut db, &self.eligible, &hinted, now).await?;
        }
        let renewals = turns::store::count_renewals_left(&mut db, &self.eligible.issuer, MIN_RENEWALS_PER_HOUR).await?;
        if renewals > 0 {
            self.are_renewals_limited.store(false, Ordering::Relaxed);
        } else if !self.are_renewals_limited.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                event = "certificate.renewals_limited",
                "a tenth of all certificates was renewed within an hour: further renewals wait"
            );
        }
        let mut lease = Lease {
            now,
            until: now + LEASE,
            limit: i64::try_from(room.limit).unwrap_or(i64::MAX),
            renewals: renewals.max(0),
            crowded: room.crowded,
        };
        let Issuer::Acme(orders) = &*self.issuer else {
            let turns = turns::store::claim_due(&mut db, &self.eligible, &lease).await?;
            return Ok((turns, Admission::Open));
        };
        if lease.limit == 0 || !turns::store::is_any_due(&mut db, &self.eligible.issuer, now).await? {
            return Ok((Vec::new(), Admission::Open));
        }
        drop(db);
        let admitted = orders.accounts.admission(now).await?;
        match admitted {
            Admission::Open => {}
            Admission::OneProbe => lease.limit = 1,
            Admission::Closed(_) => return Ok((Vec::new(), admitted)),
        }
        let mut db = self.pool.acquire().await?;
        let turns = turns::store::claim_due(&mut db, &self.eligible, &lease).await?;
        if turns.is_empty() && admitted == Admission::OneProbe {
            drop(db);
            orders.accounts.let_another_probe(now).await?;
        }
        Ok((turns, admitted))
    }

    /// Ends with the turns that are over, however they ended.
    fn see_to(&self, turns: Vec<Turn>, admitted: Admission) -> BoxFuture<'_, Vec<Turn>> {
        Box::pin(async move {
            let seen_to = async {
                let now = clock::read(&self.pool).await?;
                match (&*self.issuer, turns.as_slice()) {
                    (Issuer::Internal(ca), turns) => self.issue(ca, turns, now).await,
                    (Issuer::Acme(orders), [turn]) => self.order(&Attempt { orders, turn, admitted }, now).await,
                    (Issuer::Acme(_), _) => Ok(()),
                }
            };
            // What it reads is written by strangers: should one of them find a way to make it panic, the server goes on.
            let ended = match AssertUnwindSafe(seen_to).catch_unwind().await {
                Ok(ended) => ended,
                Err(_) => self.after_panic(&turns).await,
            };
            warn(ended);
            turns
        })
    }

    async fn after_panic(&self, turns: &[Turn]) -> Result<(), sqlx::Error> {
        let (mut db, now) = clock::acquire(&self.pool).await?;
        for turn in turns {
            tracing::error!(domain.hostname = turn.hostname, "an order panicked");
            self.postpone(&mut db, turn, Failure::of_us("a programming error", now.get()), now)
                .await?;
        }
        Ok(())
    }

    /// One order at the CA, its turn kept while it lasts.
    async fn order(&self, attempt: &Attempt<'_>, now: DatabaseTime) -> Result<(), sqlx::Error> {
        let (orders, turn) = (attempt.orders, attempt.turn);
        if !turn.is_eligible {
            turns::store::forget(&mut *self.pool.acquire().await?, &self.eligible.issuer, turn).await?;
            return orders.give_up_probe(attempt.admitted, now).await;
        }
        let ended = tokio::select! {
            ended = Box::pin(attempt.run(now)) => ended,
            () = self.keep(turn) => Err(Stop::Lost),
        };
        Box::pin(orders.settle(attempt, ended)).await
    }

    /// Returns when the turn is somebody else's.
    async fn keep(&self, turn: &Turn) {
        loop {
            tokio::time::sleep(EXTEND).await;
            let extended = async {
                let (mut db, now) = clock::acquire(&self.pool).await?;
                turns::store::extend(&mut db, &self.eligible.issuer, turn, now + LEASE).await
            };
            // The database away: what comes of the order is written down when it is back, if the turn is still ours.
            if let Ok(false) = extended.await {
                return;
            }
        }
    }
}

impl Issuer {
    /// What is seen to together.
    fn portions(&self, turns: Vec<Turn>) -> Vec<Vec<Turn>> {
        match self {
            Self::Internal(_) => turns.chunks(50).map(<[_]>::to_vec).collect(),
            Self::Acme(_) => turns.into_iter().map(|turn| vec![turn]).collect(),
        }
    }
}

/// What this node is at work on.
#[derive(Default)]
struct Work<'a> {
    held: Vec<Turn>,
    running: FuturesUnordered<BoxFuture<'a, Vec<Turn>>>,
}

impl Work<'_> {
    /// Returns when some of it is over; never without work.
    async fn is_less(&mut self) {
        match self.running.next().await {
            Some(done) => self.held.retain(|turn| !done.contains(turn)),
            None => std::future::pending().await,
        }
        // Those that ended together are replaced together.
        while let Some(Some(done)) = self.running.next().now_or_never() {
            self.held.retain(|turn| !done.contains(turn));
        }
    }

    /// The work may have locked a row that `future` waits for: neither may stand still.
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

fn warn(result: Result<(), sqlx::Error>) {
    if let Err(error) = result {
        crate::telemetry::log_failed_work("certificates wait", error);
    }
}
