//! Whose turn it is to get a certificate, and which node sees to it: one row a hostname and issuer, claimed by lease.
//! The lease's epoch fences off a node that overslept: every later write must name it.
pub mod store;

use chrono::{DateTime, Utc};

use super::failure::Failure;

/// A hostname claimed by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub hostname: String,
    pub epoch: i64,
    /// Failures in a row.
    pub attempts: i32,
    /// Its certificate expires soon.
    pub is_urgent: bool,
    /// One of our own hosts, not a customer's.
    pub own: bool,
    /// Still ours to obtain a certificate for.
    pub is_eligible: bool,
}

/// Which hostnames are to have a certificate of an issuer.
#[derive(Clone, Debug)]
pub struct Eligible {
    pub issuer: String,
    /// The portal's and the edge's names.
    pub own_hosts: Vec<String>,
    /// Only domains that were seen pointing at us: a public CA looks there. Our own needs no such thing.
    pub connected_only: bool,
}

/// For how long, and how many, hostnames are claimed.
pub struct Lease {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub limit: i64,
}

/// Why it came to nothing, and when it is tried again.
pub struct Postponed {
    pub failure: Failure,
    pub until: DateTime<Utc>,
    /// A fault of the hostname's: the next one waits longer.
    pub counts: bool,
    /// The CA was not asked.
    pub is_preflight: bool,
}
