//! What the CA remembers.
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Behaviour, Fault, authority::Authority};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Directory,
    NewNonce,
    NewAccount,
    Account,
    Orders,
    NewOrder,
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
    RenewalInfo,
    Revoke,
    Unknown,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub kind: Kind,
    pub user_agent: String,
    /// Null for a POST-as-GET, and for what is not signed.
    pub payload: Value,
    /// None if nothing was answered.
    pub status: Option<u16>,
}

/// A certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    pub hostname: String,
    /// RFC 9773 §4.1.
    pub id: String,
    pub leaf: Vec<u8>,
    pub profile: Option<String>,
    pub replaces: Option<String>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub is_revoked: bool,
    pub(super) account: usize,
    pub(super) pem: String,
}

/// An uncompressed point.
pub type PublicKey = Vec<u8>;

pub struct Account {
    pub key: PublicKey,
    pub contact: Value,
}

pub struct Order {
    pub account: usize,
    pub hostname: String,
    pub profile: Option<String>,
    pub replaces: Option<String>,
    pub authorization: usize,
    /// When it leaves `processing`, and the certificate that it has then.
    pub finalized: Option<(DateTime<Utc>, usize)>,
}

pub struct Authorization {
    pub account: usize,
    pub hostname: String,
    pub token: String,
    pub validation: Validated,
}

/// Of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validated {
    NotAsked,
    /// From then on.
    Valid(DateTime<Utc>),
    /// From then on, with this kind of problem and these words.
    Invalid(DateTime<Utc>, String, String),
}

pub struct State {
    pub behaviour: Behaviour,
    pub authority: Authority,
    pub faults: HashMap<Kind, VecDeque<Fault>>,
    pub seen: Vec<Seen>,
    pub accounts: Vec<Account>,
    pub orders: BTreeMap<usize, Order>,
    pub authorizations: Vec<Authorization>,
    pub issued: Vec<Issued>,
    /// Connections whose end was sent to the client.
    pub closed: usize,
    nonces: HashSet<String>,
    nonces_taken: usize,
}

impl State {
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            authority: Authority::new(),
            faults: HashMap::new(),
            seen: Vec::new(),
            accounts: Vec::new(),
            orders: BTreeMap::new(),
            authorizations: Vec::new(),
            issued: Vec::new(),
            closed: 0,
            nonces: HashSet::new(),
            nonces_taken: 0,
        }
    }

    pub fn next_fault(&mut self, kind: Kind) -> Option<Fault> {
        self.faults.get_mut(&kind)?.pop_front()
    }

    pub fn nonce(&mut self) -> String {
        let nonce = Uuid::now_v7().simple().to_string();
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// Each is good once, if it is.
    pub fn take_nonce(&mut self, nonce: &str) -> bool {
        let is_known = self.nonces.remove(nonce);
        self.nonces_taken += usize::from(is_known);
        let is_refused = self
            .behaviour
            .bad_nonces
            .is_some_and(|n| self.nonces_taken.is_multiple_of(n));
        is_known && !is_refused
    }

    /// Of an order (RFC 8555 §7.1.6).
    pub fn status(&self, order: &Order) -> &'static str {
        match (order.finalized, self.authorizations[order.authorization].status()) {
            (Some((at, _)), _) if at <= crate::clock::now() => "valid",
            (Some(_), _) => "processing",
            (None, "valid") => "ready",
            (None, "invalid") => "invalid",
            (None, _) => "pending",
        }
    }
}

impl Authorization {
    /// Of its challenges.
    pub fn status(&self) -> &'static str {
        match self.validation {
            Validated::NotAsked => "pending",
            Validated::Valid(at) if at <= crate::clock::now() => "valid",
            Validated::Invalid(at, ..) if at <= crate::clock::now() => "invalid",
            Validated::Valid(_) | Validated::Invalid(..) => "processing",
        }
    }
}
