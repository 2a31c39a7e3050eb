//! Whose turn it is to get a certificate, and which node sees to it: one row a hostname and issuer, claimed by lease.
//! The lease's epoch fences off a node that overslept: every later write must name it.
pub mod store;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::failure::Failure;
use crate::clock::DatabaseTime;

/// A hostname claimed by this node.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of a row, none of which excludes another"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub hostname: String,
    /// Whose domain it is; none for our own hosts.
    pub organisation_id: Option<Uuid>,
    pub epoch: i64,
    /// Failures in a row, of one kind.
    pub attempts: i32,
    /// The last one was before the CA was asked.
    pub was_preflight: bool,
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
    pub now: DatabaseTime,
    pub until: DatabaseTime,
    pub limit: i64,
    /// How many of them may have a certificate already.
    pub renewals: i64,
    /// Organisations whose domains have to wait.
    pub crowded: Vec<Uuid>,
}

/// Why it came to nothing, and when it is tried again.
pub struct Postponed {
    pub failure: Failure,
    pub until: DateTime<Utc>,
    /// Failures in a row, of one kind: each waits longer.
    pub attempts: i32,
    /// The CA was not asked.
    pub is_preflight: bool,
    /// The hostname's own, or ours; not a wait for the CA.
    pub is_failure: bool,
}
