//! What was asked of the CA, for which hostname, and how it was answered.
use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Instant,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::wire::{Answer, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Directory,
    Nonce,
    NewAccount,
    Account,
    /// The list of an account's orders.
    Orders,
    NewOrder,
    /// An authorization before its challenge was begun.
    Authorization,
    Challenge,
    /// An authorization afterwards.
    Poll,
    Finalize,
    Order,
    Certificate,
    Revoke,
    Other,
}

/// One request, and how it was answered.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: Instant,
    pub kind: Kind,
    /// Whose order it belongs to, as far as the answers before told.
    pub hostname: Option<String>,
    /// 0 until it is answered.
    pub status: u16,
    /// The type of the problem, without what all types begin with.
    pub problem: Option<String>,
}

#[derive(Default)]
pub struct Records(Mutex<Known>);

#[derive(Default)]
struct Known {
    list: Vec<Record>,
    /// Path of an order, an authorization, …: hostname.
    hostnames: HashMap<String, String>,
    /// Hostnames whose challenge was begun.
    begun: HashSet<String>,
}

impl Records {
    pub fn list(&self) -> Vec<Record> {
        self.0.lock().unwrap().list.clone()
    }

    /// What a request is, before it is answered.
    pub fn look(&self, request: &Request) -> Record {
        let known = self.0.lock().unwrap();
        let hostname = ordered(request).or_else(|| known.hostnames.get(&request.path).cloned());
        let is_begun = hostname.as_ref().is_some_and(|hostname| known.begun.contains(hostname));
        let kind = match kind_of(&request.path) {
            Kind::Authorization if is_begun => Kind::Poll,
            kind => kind,
        };
        Record {
            at: Instant::now(),
            kind,
            hostname,
            status: 0,
            problem: None,
        }
    }

    /// The CA was not there.
    pub fn add_failed(&self, record: Record, error: &reqwest::Error) {
        let problem = Some(format!("{error:?}"));
        self.0.lock().unwrap().list.push(Record { problem, ..record });
    }

    pub fn add(&self, mut record: Record, answer: &Answer) {
        let known = &mut *self.0.lock().unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        record.status = answer.status;
        record.problem = body["type"].as_str().map(|kind| {
            let kind = kind.rsplit(':').next();
            kind.unwrap_or_default().to_owned()
        });
        if let Some(hostname) = record.hostname.as_ref().filter(|_| answer.status < 300) {
            let one = |name: &str| body[name].as_str().map(str::to_owned);
            let urls = [
                one("finalize"),
                one("certificate"),
                answer.header("location").map(str::to_owned),
            ];
            let many = |name: &str| body[name].as_array().cloned().unwrap_or_default();
            let authorizations = many("authorizations");
            let authorizations = authorizations.iter().filter_map(|url| url.as_str().map(str::to_owned));
            let challenges = many("challenges");
            let challenges = challenges.iter().filter_map(|c| c["url"].as_str().map(str::to_owned));
            for url in urls.into_iter().flatten().chain(authorizations).chain(challenges) {
                known.hostnames.insert(path_of(&url), hostname.clone());
            }
            if record.kind == Kind::Challenge {
                known.begun.insert(hostname.clone());
            }
            if record.kind == Kind::NewOrder {
                known.begun.remove(hostname);
            }
        }
        known.list.push(record);
    }
}

/// Pebble's paths.
fn kind_of(path: &str) -> Kind {
    let first = path.trim_start_matches('/').split('/').next();
    match first.unwrap_or_default() {
        "dir" => Kind::Directory,
        "nonce-plz" => Kind::Nonce,
        "sign-me-up" => Kind::NewAccount,
        "my-account" => Kind::Account,
        "list-orderz" => Kind::Orders,
        "order-plz" => Kind::NewOrder,
        "authZ" => Kind::Authorization,
        "chalZ" => Kind::Challenge,
        "finalize-order" => Kind::Finalize,
        "my-order" => Kind::Order,
        "certZ" => Kind::Certificate,
        "revoke-cert" => Kind::Revoke,
        _ => Kind::Other,
    }
}

/// The hostname that a new order is for (RFC 8555 §7.4).
fn ordered(request: &Request) -> Option<String> {
    let jws: Value = serde_json::from_slice(&request.body).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(jws["payload"].as_str()?).ok()?;
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    Some(payload["identifiers"][0]["value"].as_str()?.to_owned())
}

fn path_of(url: &str) -> String {
    let path = url.splitn(4, '/').nth(3);
    format!("/{}", path.unwrap_or_default())
}
