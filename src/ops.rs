//! The ops listener: is it alive, can it answer devices, how much of everything. Never public.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix_web::{HttpResponse, web};
use prometheus::{Registry, TextEncoder};
use sqlx::PgPool;

use crate::{
    certificates::resolver::Resolver,
    discovery::handler::Discovery,
    request_log::{shipper::Shipper, spool::Spool},
    rotation,
    telemetry::{Gauges, catch_up},
};

/// What the ops listener looks at.
pub struct Ops {
    pub registry: Registry,
    pub gauges: Gauges,
    /// From the start of the listeners until they are to stop.
    pub ready: Arc<AtomicBool>,
    /// An empty directory would send every device to Apple.
    pub is_filled: Arc<AtomicBool>,
    pub discovery: Arc<Discovery>,
    pub resolver: Arc<Resolver>,
    pub spool: Arc<Spool>,
    pub shipper: Arc<Shipper>,
    pub left_to_seal: Arc<rotation::Left>,
    /// Of the snapshot on disk.
    pub needs_old_key: Arc<AtomicBool>,
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
    match ops.ready.load(Ordering::Acquire) && ops.is_filled.load(Ordering::Acquire) {
        true => HttpResponse::Ok().body("ready\n"),
        false => HttpResponse::ServiceUnavailable()
            .body("not ready: the directory is not loaded, or the process is stopping\n"),
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

impl Ops {
    fn look(&self) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let queue = &self.discovery.queue;
        self.gauges.queue_depth.set(gauge(queue.depth() as u64));
        catch_up(&self.gauges.dropped, queue.dropped() + self.spool.dropped());
        catch_up(&self.gauges.shipped, self.shipper.shipped());
        self.gauges.spool_bytes.set(gauge(self.spool.bytes()));
        self.gauges
            .directory_entries
            .set(gauge(self.discovery.directory.len() as u64));
        let certificates = self.resolver.counts(crate::clock::now().timestamp());
        self.gauges
            .certificates
            .with_label_values(&["valid"])
            .set(gauge(certificates.valid));
        self.gauges
            .certificates
            .with_label_values(&["expired"])
            .set(gauge(certificates.expired));
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
}
