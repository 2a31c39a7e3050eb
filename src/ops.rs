//! The ops listener: is it alive, can it answer devices, how much of everything. Never public.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix_web::{HttpResponse, web};
use prometheus::{Registry, TextEncoder};
use sqlx::PgPool;

use crate::{
    certificates::{
        resolver::Resolver,
        served::{Served, State},
        standing::Board,
    },
    connections::{metrics::ConnectionMetrics, stats::ConnectionStats},
    discovery::handler::Discovery,
    postgres::Availability,
    publisher::standing::Standing,
    request_log::{lane::Lanes, shipper::Shipper, spool::Spool},
    rotation,
    telemetry::{self, Gauges, catch_up},
    webhooks::courier::Backlog,
    work::clock_watch::ClockWatch,
};

/// What the ops listener looks at.
pub struct Ops {
    pub registry: Registry,
    pub gauges: Gauges,
    /// From the start of the listeners until they are to stop.
    pub ready: Arc<AtomicBool>,
    pub availability: Arc<Availability>,
    pub standing: Arc<Standing>,
    pub clock: Arc<ClockWatch>,
    pub discovery: Arc<Discovery>,
    pub resolver: Arc<Resolver>,
    pub served: Arc<Served>,
    pub spool: Arc<Spool>,
    pub lanes: Arc<Lanes>,
    pub shipper: Arc<Shipper>,
    pub board: Arc<Board>,
    pub webhooks: Arc<Backlog>,
    pub left_to_seal: Arc<rotation::Left>,
    /// Of the snapshot on disk.
    pub needs_old_key: Arc<AtomicBool>,
    pub connections: Arc<ConnectionStats>,
    pub connection_metrics: ConnectionMetrics,
    pub pools: [PgPool; 2],
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(health))
        .route("/readyz", web::get().to(readiness))
        .route("/metrics", web::get().to(metrics));
}

async fn health() -> &'static str {
    "ok\n"
}

/// Ready once the directory is filled, also without a database; not any more once it is told to stop.
async fn readiness(ops: web::Data<Ops>) -> HttpResponse {
    let read_only = "database: read-only, nothing can be changed";
    let read_only = ops.availability.is_read_only().then(|| read_only.to_owned());
    let lines = [ops.standing.told(), read_only, ops.clock.problem()];
    let lines: String = lines.into_iter().flatten().map(|line| line + "\n").collect();
    match (ops.ready.load(Ordering::Acquire), ops.standing.is_filled()) {
        (true, true) => HttpResponse::Ok().body(format!("ready\n{lines}")),
        (true, false) => HttpResponse::ServiceUnavailable().body(format!("not ready: the directory is empty\n{lines}")),
        (false, _) => HttpResponse::ServiceUnavailable().body("not ready: the process starts, or is stopping\n"),
    }
}

async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    ops.look();
    match TextEncoder::new().encode_to_string(&ops.registry.gather()) {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text),
        Err(error) => {
            tracing::error!(%error, "metrics can't be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// What a scrape shows, by the clock of this node.
#[expect(clippy::disallowed_methods, reason = "metrics are read without the database")]
fn now() -> chrono::DateTime<chrono::Utc> {
    crate::clock::now()
}

impl Ops {
    fn look(&self) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.gauges.unshipped_bytes.set(gauge(self.shipper.unshipped()));
        catch_up(&self.gauges.dropped, self.lanes.dropped());
        catch_up(&self.gauges.damaged, self.shipper.damaged());
        catch_up(&self.gauges.shipped, self.shipper.shipped());
        self.gauges.spool_bytes.set(gauge(self.spool.bytes()));
        self.gauges
            .directory_entries
            .set(gauge(self.discovery.directory.len() as u64));
        self.look_at_standing();
        self.connection_metrics.update(&self.connections);
        catch_up(&self.gauges.panics, telemetry::panics());
        if let Some(offset) = self.clock.offset() {
            self.gauges.clock_offset.set(offset.as_seconds_f64());
        }
        let certificates = self.resolver.counts(now().timestamp());
        self.gauges
            .certificates
            .with_label_values(&["valid"])
            .set(gauge(certificates.valid));
        self.gauges
            .certificates
            .with_label_values(&["expired"])
            .set(gauge(certificates.expired));
        self.look_at_certificates();
        self.look_at_served();
        let deliveries = [
            ("waiting", self.webhooks.waiting()),
            ("failing", self.webhooks.failing()),
        ];
        for (state, count) in deliveries {
            self.gauges.webhook_deliveries.with_label_values(&[state]).set(count);
        }
        for (table, rows) in self.left_to_seal.iter() {
            self.gauges.old_seals.with_label_values(&[table]).set(gauge(rows));
        }
        self.gauges
            .snapshot_old_seals
            .set(i64::from(self.needs_old_key.load(Ordering::Relaxed)));
        let (size, idle) = self.pools.iter().fold((0, 0), |(size, idle), pool| {
            (size + u64::from(pool.size()), idle + pool.num_idle() as u64)
        });
        self.gauges
            .pool_connections
            .with_label_values(&["idle"])
            .set(gauge(idle));
        self.gauges
            .pool_connections
            .with_label_values(&["busy"])
            .set(gauge(size.saturating_sub(idle)));
    }

    fn look_at_standing(&self) {
        let standing = &self.standing;
        self.gauges
            .database_reachable
            .set(i64::from(standing.is_database_there()));
        self.gauges
            .database_read_only
            .set(i64::from(self.availability.is_read_only()));
        let age = |as_of: i64| (now().timestamp() - as_of).max(0);
        self.gauges.directory_age.set(standing.as_of().map_or(-1, age));
        self.gauges
            .snapshot_refused
            .set(i64::from(standing.is_snapshot_refused()));
        self.gauges
            .snapshot_failing
            .set(i64::from(!standing.is_snapshot_written()));
    }

    fn look_at_certificates(&self) {
        const DAY: i64 = 86_400;
        const WITHIN: [&str; 4] = ["1d", "7d", "14d", "30d"];
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let seconds = [DAY, 7 * DAY, 14 * DAY, 30 * DAY];
        let (counts, more) = self.resolver.left(seconds, now().timestamp());
        for (within, count) in WITHIN.into_iter().zip(counts).chain([("more", more)]) {
            self.gauges
                .certificates_left
                .with_label_values(&[within])
                .set(gauge(count));
        }
        let standing = self.board.standing();
        let waiting = [
            ("due", standing.due),
            ("failing", standing.failing),
            ("urgent", standing.urgent),
        ];
        for (state, count) in waiting {
            self.gauges.certificates_waiting.with_label_values(&[state]).set(count);
        }
        self.gauges.acme_orders_left.set(standing.orders_left.unwrap_or(-1));
        self.gauges.acme_paused.set(i64::from(standing.is_paused));
    }

    fn look_at_served(&self) {
        let counts = self.served.counts();
        for state in State::ALL {
            let count = i64::try_from(counts.of(state)).unwrap_or(i64::MAX);
            let gauge = &self.gauges.certificates_served;
            gauge.with_label_values(&[state.as_str()]).set(count);
        }
        if let Some(not_after) = counts.soonest_not_after {
            let seconds = (not_after - now()).num_seconds();
            self.gauges.certificate_soonest_expiry.set(seconds);
        }
    }
}
