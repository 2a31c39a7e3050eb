//! What would a device get? Walks through Apple's discovery as a device does, from outside: DNS, connection, TLS,
//! HTTP, the document. Says at each step what was seen, what was expected, who is to do what, and for which devices
//! it matters. Where the cause can't be told, it says that.
//!
//! Facts are gathered by `walk`, `line` and `journey`; what they mean is decided by pure functions. Everything
//! that a server says is hostile: bounded in time and size, cut short and stripped before it is shown. Logs nothing,
//! and knows nothing of who asks.
mod answered;
mod base_url;
mod certificate;
mod chain;
mod challenge;
mod cloudflare;
mod compare;
mod content;
mod document;
mod exchange;
mod hello;
mod journey;
mod json;
mod lenient;
mod line;
mod lost_query;
mod names;
mod refused;
mod report;
mod status;
mod target;
mod telling;
mod text;
mod tls;
mod trust;
mod walk;

use std::{net::SocketAddr, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout_at};

use crate::{dns::Dns, outbound::Outbound};
use line::Lines;
pub use names::Ours;
pub use report::{Code, End, Hop, Report, Stage, Step};
use telling::Telling;
pub use trust::{Trust, TrustError};

/// For the last answers to become a report.
const GRACE: Duration = Duration::from_secs(15);

/// What every probe needs. Cheap to clone.
#[derive(Clone)]
pub struct Probe {
    pub dns: Dns,
    pub outbound: Outbound,
    pub trust: Trust,
    pub limits: Limits,
}

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To take a connection.
    pub connect: Duration,
    /// To shake hands.
    pub tls: Duration,
    /// To answer one request, body and all.
    pub answer: Duration,
    /// For everything: whatever servers do, the probe is over by then.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            answer: Duration::from_secs(15),
            whole: Duration::from_secs(60),
        }
    }
}

/// What is to be probed.
#[derive(Clone, Debug)]
pub struct Request {
    /// In A-labels.
    pub hostname: String,
    /// As whom; else as somebody who does not exist.
    pub user: Option<String>,
    pub model_family: Option<String>,
    /// Named by whoever asks, so neither DNS nor the guard is asked about it.
    pub connect: Option<SocketAddr>,
    /// 443, but for trials.
    pub https_port: u16,
    /// For a domain whose records are to point at us.
    pub ours: Option<Ours>,
    /// The header by which an installation recognises its own checks; `None`: it counts as a device's request.
    pub own_check: Option<String>,
    /// Neither HEAD nor the request without a query: no device asks so.
    pub is_brief: bool,
}

impl Request {
    pub fn user(&self) -> String {
        self.user.clone().unwrap_or_else(|| default_user(&self.hostname))
    }

    pub fn model_family(&self) -> String {
        self.model_family.clone().unwrap_or_else(|| "iPhone".to_owned())
    }
}

/// As whom a check asks: the address of nobody.
#[must_use]
pub fn default_user(hostname: &str) -> String {
    format!("signpost-check@{hostname}")
}

impl Probe {
    /// Walks to the end or to where a device would fail. Each step is told to `on_step` as soon as it is known.
    pub async fn run(&self, request: &Request, now: DateTime<Utc>, on_step: &mut (dyn FnMut(&Step) + Send)) -> Report {
        let end = Instant::now() + self.limits.whole;
        let mut telling = Telling::new(&request.hostname, on_step);
        let own_check = request.own_check.as_deref();
        let lines = Lines {
            probe: self,
            now,
            end,
            own_check,
        };
        // Every wait has its own limit; this one is for what none of them has.
        let walk = Box::pin(walk::walk(lines, request, &mut telling));
        if timeout_at(end + GRACE, walk).await.is_err() {
            telling.out_of_time();
        }
        telling.finish()
    }
}
