//! The periodic jobs: what is done how often. Each may run on any node, and on several at once; all but the longest are
//! one transaction.
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use actix_web::web::Data;
use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture, stream::FuturesUnordered};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts,
    api::{Api, idempotency},
    audit, certificates,
    clock::{self, DatabaseTime},
    console::Console,
    domains::checks::{self, CheckPermit, CheckPlaces, Checker, store::Claimed},
    outbox, publisher, request_log,
    rotation::Rotation,
    tasks::Tasks,
    telemetry, webhooks,
    work::clock_watch::ClockWatch,
};

/// What belongs to no organisation; each says for its own.
const AUDIT_KEPT: TimeDelta = TimeDelta::days(365);

/// What a job may need.
pub struct Means {
    pub pool: PgPool,
    pub rotation: Rotation,
    pub clock: Arc<ClockWatch>,
}

type Doing<'c> = BoxFuture<'c, Result<(), sqlx::Error>>;

#[derive(Clone, Copy)]
enum Run {
    /// In a transaction of its own.
    Whole(for<'c> fn(&'c mut PgConnection, DatabaseTime) -> Doing<'c>),
    /// In as many as it likes.
    Piecemeal(for<'c> fn(&'c Means, DatabaseTime) -> Doing<'c>),
}

struct Job {
    name: &'static str,
    every: Duration,
    run: Run,
}

const JOBS: &[Job] = &[
    Job {
        name: "request log: make partitions",
        every: Duration::from_secs(3600),
        run: Run::Piecemeal(|means, now| Box::pin(request_log::partitions::make_ahead(&means.pool, now))),
    },
    Job {
        name: "request log: drop old days",
        every: Duration::from_secs(3600),
        run: Run::Piecemeal(|means, _| Box::pin(request_log::partitions::run(&means.pool).map_ok(drop))),
    },
    Job {
        name: "request log: erase persons",
        every: Duration::from_secs(60),
        run: Run::Piecemeal(|means, now| Box::pin(request_log::erasure::run(&means.pool, now).map_ok(drop))),
    },
    Job {
        name: "request log: erase what clients and organisations left",
        every: Duration::from_secs(600),
        run: Run::Piecemeal(|means, _| Box::pin(request_log::erasure::gone::run(&means.pool).map_ok(drop))),
    },
    Job {
        name: "audit: delete old events",
        every: Duration::from_secs(86_400),
        run: Run::Whole(|db, now| Box::pin(delete_old_audit_events(db, now))),
    },
    Job {
        name: "idempotency keys: delete old ones",
        every: Duration::from_secs(3600),
        run: Run::Whole(|db, now| Box::pin(delete_old_keys(db, now))),
    },
    Job {
        name: "sign-ins: delete what is over",
        every: Duration::from_secs(3600),
        run: Run::Whole(|db, now| Box::pin(delete_old_sign_ins(db, now))),
    },
    Job {
        name: "outbox: delete what is old",
        every: Duration::from_secs(3600),
        run: Run::Whole(|db, now| Box::pin(delete_what_was_told(db, now))),
    },
    Job {
        name: "directory changes: delete old ones",
        every: Duration::from_secs(600),
        run: Run::Whole(|db, _| Box::pin(publisher::store::prune_changes(db).map_ok(drop))),
    },
    Job {
        name: "secret keys: seal anew",
        // It says itself when there is something to look at.
        every: Duration::from_secs(60),
        run: Run::Piecemeal(|means, now| Box::pin(means.rotation.run(now))),
    },
    Job {
        name: "ACME challenges: delete expired ones",
        every: Duration::from_secs(600),
        run: Run::Whole(|db, now| Box::pin(delete_expired_challenges(db, now))),
    },
    Job {
        name: "ACME orders: delete old ones",
        every: Duration::from_secs(3600),
        run: Run::Whole(|db, now| Box::pin(delete_old_orders(db, now))),
    },
    Job {
        name: "served certificates: forget nodes that are no more",
        every: Duration::from_secs(600),
        run: Run::Whole(|db, _| Box::pin(forget_dead_nodes(db))),
    },
];

/// Starts every job, and the watch over this node's clock that they wait for. A job that fails is a warning, and is tried
/// again at its next time.
pub fn start(tasks: &mut Tasks, means: Means) {
    let means = Arc::new(means);
    let (watched, cancel) = (means.clone(), tasks.cancel());
    tasks.spawn("clock", async move { watched.clock.run(&watched.pool, cancel).await });
    for job in JOBS {
        tasks.spawn(job.name, run(job, means.clone(), tasks.cancel()));
    }
}

async fn run(job: &'static Job, means: Arc<Means>, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(job.every);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = async {
                ticks.tick().await;
                means.clock.wait_until_trusted().await;
            } => {}
        }
        if let Err(error) = run_once(job, &means).await {
            let error = anyhow::Error::new(error).context(job.name);
            telemetry::log_failed_work("a job failed", error);
        }
    }
}

async fn run_once(job: &Job, means: &Means) -> Result<(), sqlx::Error> {
    match job.run {
        Run::Whole(run) => {
            let (mut tx, now) = clock::begin(&means.pool).await?;
            run(&mut tx, now).await?;
            tx.commit().await
        }
        Run::Piecemeal(run) => run(means, clock::read(&means.pool).await?).await,
    }
}

async fn delete_old_audit_events(db: &mut PgConnection, now: DatabaseTime) -> Result<(), sqlx::Error> {
    audit::store::delete_old(db, now, now - AUDIT_KEPT).await.map(drop)
}

async fn delete_old_keys(db: &mut PgConnection, now: DatabaseTime) -> Result<(), sqlx::Error> {
    idempotency::store::delete_before(db, now - idempotency::KEPT)
        .await
        .map(drop)
}

/// Sessions, registrations, links, invitations, failed attempts and known browsers.
async fn delete_old_sign_ins(db: &mut PgConnection, now: DatabaseTime) -> Result<(), sqlx::Error> {
    accounts::sessions::store::delete_over(db, now).await?;
    accounts::registrations::store::delete_expired(db, now).await?;
    accounts::password_links::store::delete_expired(db, now).await?;
    accounts::invitations::store::delete_expired(db, now).await?;
    accounts::email_changes::store::delete_expired(db, now).await?;
    accounts::passkeys::store::delete_expired_challenges(db, now).await?;
    accounts::single_sign_on::attempts::store::delete_expired(db, now).await?;
    accounts::failed_attempts::store::delete_before(db, now - accounts::failed_attempts::RETENTION).await?;
    accounts::known_browsers::store::delete_expired(db).await?;
    Ok(())
}

/// Mails, events and their deliveries.
async fn delete_what_was_told(db: &mut PgConnection, now: DatabaseTime) -> Result<(), sqlx::Error> {
    outbox::store::delete_before(db, now - outbox::KEPT).await?;
    outbox::store::delete_events_before(db, now - outbox::EVENTS_KEPT).await?;
    webhooks::deliveries::store::delete_before(db, now - webhooks::deliveries::KEPT, now).await
}

async fn delete_expired_challenges(db: &mut PgConnection, now: DatabaseTime) -> Result<(), sqlx::Error> {
    certificates::challenges::store::delete_expired(db, now).await.map(drop)
}

async fn delete_old_orders(db: &mut PgConnection, now: DatabaseTime) -> Result<(), sqlx::Error> {
    certificates::orders::store::delete_old(db, now).await.map(drop)
}

async fn forget_dead_nodes(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    certificates::served::store::delete_of_the_dead(db).await.map(drop)
}

/// Looks at every domain that is due, at most [`checks::MAX_CHECKS`] at once: one that hangs keeps one place, and one
/// organisation's keep at most its share.
pub async fn look_at_domains(
    checker: Arc<Checker>,
    wanted: Arc<tokio::sync::Notify>,
    clock: Arc<ClockWatch>,
    cancel: CancellationToken,
) {
    const SWEEP: Duration = Duration::from_secs(2);
    /// Between two claims: what is over meanwhile is replaced at once, not one by one.
    const PAUSE: Duration = Duration::from_millis(100);
    let places = CheckPlaces::new(checks::MAX_CHECKS);
    let mut looks = FuturesUnordered::new();
    loop {
        // A look may have locked, or borrowed, what the claim waits for: neither stands still.
        let claim = async {
            clock.wait_until_trusted().await;
            checker.claim_due(&places).await
        };
        tokio::pin!(claim);
        let mut is_one_over = false;
        let claimed = loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                claimed = &mut claim => break claimed,
                Some(()) = looks.next() => is_one_over = true,
            }
        };
        let are_more_due = match claimed {
            Ok(due) => {
                let claimed = due.claimed.into_iter();
                looks.extend(claimed.map(|(claimed, permit)| Box::pin(look(&checker, claimed, permit))));
                due.are_more
            }
            Err(error) => {
                telemetry::log_failed_work("domains are not looked at", error);
                false
            }
        };
        let (pause, sweep) = (tokio::time::sleep(PAUSE), tokio::time::sleep(SWEEP));
        tokio::pin!(pause, sweep);
        let mut is_rested = false;
        while !(is_rested && is_one_over && are_more_due) {
            let may_claim = is_rested && places.free() > 0;
            tokio::select! {
                () = cancel.cancelled() => return,
                () = wanted.notified(), if may_claim => break,
                () = &mut sweep, if may_claim => break,
                () = &mut pause, if !is_rested => is_rested = true,
                Some(()) = looks.next() => is_one_over = true,
            }
        }
    }
}

/// A look that fails is taken again when its lease is over.
async fn look(checker: &Checker, claimed: Claimed, _permit: CheckPermit<'_>) {
    // What it reads is written by strangers: should one of them find a way to make it panic, the server goes on.
    match AssertUnwindSafe(checker.check(claimed)).catch_unwind().await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => telemetry::log_failed_work("a look at a domain failed", error),
        Err(_) => tracing::error!(domain.id = %claimed.domain_id, "a look at a domain panicked"),
    }
}

/// Lets the rate limits forget whoever no longer calls.
pub async fn forget_callers(api: Data<Api>, console: Data<Console>, cancel: CancellationToken) {
    const EVERY: Duration = Duration::from_secs(3600);
    while tokio::time::timeout(EVERY, cancel.cancelled()).await.is_err() {
        api.limits.shrink();
        console.attempts.shrink();
    }
}
