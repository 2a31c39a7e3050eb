//! What the process says of itself: log lines and metrics. Nothing here may print who signs in.
use std::{
    collections::BTreeMap,
    io::IsTerminal,
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::postgres::{DatabaseFault, availability};

/// At these levels the libraries print whole requests: headers, paths, queries. A filter that asks
/// for them gets their warnings only.
const PRINT_REQUESTS: [&str; 8] = [
    "h2",
    "actix_http",
    "actix_web",
    "actix_server",
    "actix_router",
    "hyper",
    "rustls",
    "sqlx",
];

/// Warn of each connection of a pool that ended: of an outage there is one line, by the watch of the database.
const REPEAT_OUTAGES: [&str; 2] = ["sqlx_core::pool", "sqlx::postgres::notice"];

/// What these warn of is what a stranger's DNS server sent, as many lines as it likes.
const REPEAT_STRANGERS: [&str; 3] = ["hickory_net", "hickory_proto", "hickory_resolver"];

/// Writes to standard error: for people if that is a terminal, else one JSON object a line.
/// `filter` was checked when the settings were read. Call once.
pub fn init(filter: &str) {
    let chosen = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Filters of the whole registry, not of a layer: where a library only asks whether it may say
    // something (sqlx does, of each notice), a layer's own filter loses the thread's next event.
    let registry = tracing_subscriber::registry().with(chosen).with(filter_fn(is_discreet));
    let is_terminal = std::io::stderr().is_terminal();
    let base = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let result = if is_terminal {
        registry.with(base.compact().with_target(false)).try_init()
    } else {
        registry.with(base.json().flatten_event(true)).try_init()
    };
    if result.is_err() {
        tracing::debug!("telemetry was set up before");
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// From now on a panic is one log line with its place, and a count. A message with values in it is left out: they may be
/// personal.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload().downcast_ref::<&'static str>().copied();
        let message = message.unwrap_or("not logged: it may hold personal data");
        tracing::error!(event = "process.panic", location, message, "panicked");
    }));
}

/// Panics since the start.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    match *metadata.level() {
        _ if REPEAT_STRANGERS.contains(&library) => false,
        _ if REPEAT_OUTAGES
            .iter()
            .any(|target| metadata.target().starts_with(target)) =>
        {
            false
        }
        Level::ERROR | Level::WARN => true,
        _ => !PRINT_REQUESTS.contains(&library),
    }
}

/// The gauges that are read when somebody looks.
pub struct Gauges {
    pub unshipped_bytes: IntGauge,
    pub dropped: IntCounter,
    pub damaged: IntCounter,
    pub shipped: IntCounter,
    pub spool_bytes: IntGauge,
    pub directory_entries: IntGauge,
    pub certificates: IntGaugeVec,
    pub certificates_left: IntGaugeVec,
    pub certificates_waiting: IntGaugeVec,
    pub certificates_served: IntGaugeVec,
    pub certificate_soonest_expiry: IntGauge,
    pub acme_orders_left: IntGauge,
    pub acme_paused: IntGauge,
    pub webhook_deliveries: IntGaugeVec,
    pub pool_connections: IntGaugeVec,
    pub old_seals: IntGaugeVec,
    pub snapshot_old_seals: IntGauge,
    pub snapshot_refused: IntGauge,
    pub snapshot_failing: IntGauge,
    pub database_reachable: IntGauge,
    pub database_read_only: IntGauge,
    pub directory_age: IntGauge,
    pub panics: IntCounter,
    pub clock_offset: Gauge,
}

impl Gauges {
    /// An error means that a name is registered twice.
    #[expect(clippy::too_many_lines, reason = "a table: one entry a metric")]
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let by = |label: &str, name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(gauges.clone())).map(|()| gauges)
        };
        let by_state = |name: &str, help: &str| by("state", name, help);
        Ok(Self {
            unshipped_bytes: gauge(
                "signpost_request_log_unshipped_bytes",
                "Request log on disk that is not in the database yet.",
            )?,
            dropped: counter(
                "signpost_request_log_dropped_total",
                "Requests that were answered and not logged, for the disk refused them or had no room.",
            )?,
            damaged: counter(
                "signpost_request_log_damaged_total",
                "Places in the files of the request log where something stood that is lost.",
            )?,
            shipped: counter(
                "signpost_request_log_shipped_total",
                "Records of the request log that reached the database.",
            )?,
            spool_bytes: gauge(
                "signpost_request_log_spool_bytes",
                "Request log on disk, shipped or not.",
            )?,
            directory_entries: gauge("signpost_directory_entries", "Hostnames that are served.")?,
            certificates: by_state("signpost_certificates", "Certificates in memory, by state.")?,
            certificates_left: by(
                "within",
                "signpost_certificates_left",
                "Certificates in memory, by what is left of their life.",
            )?,
            certificates_waiting: by_state(
                "signpost_certificates_waiting",
                "Hostnames that wait for a certificate, by state.",
            )?,
            certificates_served: by_state(
                "signpost_certificates_served",
                "Names by what a handshake with this node showed when it was last looked at.",
            )?,
            certificate_soonest_expiry: gauge(
                "signpost_certificate_soonest_expiry_seconds",
                "Seconds until the first of the certificates ends that handshakes with this node showed; negative once it has.",
            )?,
            acme_orders_left: gauge(
                "signpost_acme_orders_left",
                "Orders that the CA's limit for the account leaves; -1: no limit is known.",
            )?,
            acme_paused: gauge("signpost_acme_paused", "1: the CA is left alone.")?,
            webhook_deliveries: by_state(
                "signpost_webhook_deliveries",
                "Deliveries that wait, and those of them that have failed before.",
            )?,
            pool_connections: by_state(
                "signpost_database_connections",
                "Connections to the database, by state.",
            )?,
            old_seals: {
                let help = "Rows that are not sealed under the first secret key, by table.";
                let gauges = IntGaugeVec::new(Opts::new("signpost_rows_under_old_keys", help), &["table"])?;
                registry.register(Box::new(gauges.clone())).map(|()| gauges)
            }?,
            snapshot_old_seals: gauge(
                "signpost_snapshot_under_old_keys",
                "1: the snapshot on this node's disk does not open with the first secret key alone.",
            )?,
            snapshot_refused: gauge(
                "signpost_snapshot_refused",
                "1: this node started without the database, and did not believe its snapshot.",
            )?,
            snapshot_failing: gauge("signpost_snapshot_failing", "1: the snapshot can't be written.")?,
            database_reachable: gauge(
                "signpost_database_reachable",
                "1: what is served follows the database; 0: it is away, and what was known last is served.",
            )?,
            database_read_only: gauge(
                "signpost_database_read_only",
                "1: the database can be read and takes no changes.",
            )?,
            directory_age: gauge(
                "signpost_directory_age_seconds",
                "Seconds since what is served was last the same as the database; -1: nothing is served yet.",
            )?,
            clock_offset: {
                let gauge = Gauge::new(
                    "signpost_clock_offset_seconds",
                    "Seconds by which this node's clock is ahead of the database's; negative: behind.",
                )?;
                registry.register(Box::new(gauge.clone())).map(|()| gauge)
            }?,
            panics: counter("signpost_panics_total", "Panics: each is a programming error.")?,
        })
    }
}

/// Brings a counter to a total that is counted elsewhere.
pub fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// Between two log lines of the same work that fails because of the database.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// Logs that background work failed and is tried again. Work that fails because the database is away or read-only is in
/// the log of the database's watch; other trouble of the database is logged once a minute, with the number of lines left
/// out. `message` names the work.
pub fn log_failed_work(message: &'static str, error: impl Into<anyhow::Error>) {
    let error = error.into();
    let line = one_line(&error);
    let mut lines_left_out = 0;
    if let Some(fault) = DatabaseFault::within(&*error) {
        if availability::is_logged_elsewhere(fault) {
            return tracing::debug!(error = line, "{message}");
        }
        match left_out(message, Instant::now()) {
            Some(left_out) => lines_left_out = left_out,
            None => return tracing::debug!(error = line, "{message}"),
        }
    }
    tracing::warn!(error = line, lines_left_out, "{message}");
}

/// How many lines with this message were left out since the last one; `None`: this one is left out as well.
fn left_out(message: &'static str, now: Instant) -> Option<u64> {
    static LOGGED: Mutex<BTreeMap<&str, (Instant, u64)>> = Mutex::new(BTreeMap::new());
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    match logged.get_mut(message) {
        Some((at, left_out)) if now.saturating_duration_since(*at) < REPEAT_INTERVAL => {
            *left_out += 1;
            None
        }
        before => {
            let left_out = before.map_or(0, |(_, left_out)| *left_out);
            logged.insert(message, (now, 0));
            Some(left_out)
        }
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors say their cause already.
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_logged_once_a_minute_with_the_number_of_those_left_out() {
        let now = Instant::now();
        let at = |seconds| left_out("a test's own message", now + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(1), at(59), at(60), at(61)],
            [Some(0), None, None, Some(2), None]
        );
        assert_eq!(left_out("another message", now), Some(0));
    }
}
