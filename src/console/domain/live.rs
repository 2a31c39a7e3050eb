//! What of a domain changes by itself: its status, the one next thing, the records as they are seen, the certificate.
//! Members and whoever holds a share link see the same, but for what is nobody else's business.
use askama::Template;
use chrono::{DateTime, Utc};

use super::words::{self, Mark, Reader};
use crate::{
    console::page::moment,
    domains::{
        CertificateState, Connection, Domain, Served,
        connection::{self, Expected, RecordCheck, Verdict},
        next_action::next_action,
        ownership::{self, claims::Method},
        status::{Status, status},
        warnings::warnings,
    },
};

/// Drawn within a page, and alone for its script, which asks again while something is awaited.
#[derive(Template)]
#[template(path = "domain_live.html")]
pub struct Live {
    pub status: Mark,
    next: Option<Next>,
    warnings: Vec<String>,
    /// When anybody last looked.
    looked_at: Option<String>,
    records: Vec<Record>,
    /// Behind the domain's own web server: what it does with devices.
    website: Option<Website>,
    certificate: Certificate,
    /// The page is to ask again.
    is_awaited: bool,
    hostname: String,
}

struct Next {
    who: String,
    headline: String,
    message: String,
}

/// One record to be set.
struct Record {
    kind: &'static str,
    name: String,
    values: Vec<String>,
    observed: Vec<String>,
    tick: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tick {
    Right,
    Wrong,
    /// There are no such records, and that does no harm.
    Unneeded,
    NotSeen,
    /// It is not there, and an operator's word stands for it.
    Vouched,
}

struct Website {
    tick: Tick,
    text: String,
}

struct Certificate {
    mark: Mark,
    /// Names of its facts, and the facts.
    facts: Vec<(&'static str, String)>,
    /// Where the CA says why it is renewed then.
    explanation_url: Option<String>,
    failure: Option<Failure>,
    served: Vec<Shown>,
}

struct Failure {
    message: String,
    remedy: String,
    ca: Option<String>,
    at: String,
    next_attempt_at: Option<String>,
}

/// What one node shows to devices.
struct Shown {
    address: String,
    mark: Mark,
    not_after: String,
    checked_at: String,
}

impl Live {
    pub fn new(domain: &Domain, expected: &Expected, now: DateTime<Utc>, reader: Reader<'_>) -> Self {
        let status = status(domain, expected, now);
        let action = next_action(domain, expected, now);
        let (ownership_at, connection_at) = (domain.claim.proof.checked_at, domain.seen.connection_checked_at);
        let observation = domain.seen.observation.as_ref();
        let checks = connection::records(domain.connection, &domain.hostname, observation, expected);
        Self {
            status: words::status(status, domain.connection),
            is_awaited: action.is_some() && status != Status::Suspended,
            next: action.map(|action| Next {
                who: words::whose_turn(&action, reader, &domain.hostname),
                headline: words::headline(&action, domain),
                message: action.message,
            }),
            warnings: match reader {
                Reader::Member { .. } => warnings(domain, expected).into_iter().map(|w| w.message).collect(),
                // They name the MDM, which is the MSP's and its client's business.
                Reader::Guest => Vec::new(),
            },
            looked_at: ownership_at.max(connection_at).as_ref().map(moment),
            records: [Record::of_ownership(domain)]
                .into_iter()
                .chain(checks.into_iter().map(Record::new))
                .collect(),
            website: Website::new(domain, expected),
            certificate: Certificate::new(domain, expected, now, reader),
            hostname: domain.hostname.clone(),
        }
    }

    /// What is read aloud when it has changed.
    fn said(&self) -> String {
        match &self.next {
            Some(next) => format!("{}. Next: {}: {}.", self.status.word, next.who, next.headline),
            None => format!("{}. Nothing is to be done.", self.status.word),
        }
    }
}

impl Record {
    fn of_ownership(domain: &Domain) -> Self {
        let record = Self::new(ownership::record_check(domain));
        let method = domain.claim.verification.map(|verification| verification.method);
        match record.tick {
            Tick::Right => record,
            _ if method == Some(Method::Operator) => Self {
                tick: Tick::Vouched,
                ..record
            },
            _ => record,
        }
    }

    fn new(check: RecordCheck) -> Self {
        Self {
            tick: match check.ok {
                Some(true) if check.observed.is_empty() => Tick::Unneeded,
                Some(true) => Tick::Right,
                Some(false) => Tick::Wrong,
                None => Tick::NotSeen,
            },
            kind: check.kind,
            name: check.name,
            values: check.expected,
            observed: check.observed,
        }
    }
}

impl Website {
    fn new(domain: &Domain, expected: &Expected) -> Option<Self> {
        if domain.connection == Connection::Direct {
            return None;
        }
        let observation = domain.seen.observation.as_ref();
        let verdict = connection::judge(domain.connection, &domain.hostname, observation, expected);
        let (tick, text) = match verdict {
            None => (Tick::NotSeen, String::new()),
            Some(Verdict::Connected) => (Tick::Right, "It leads devices to Signpost’s answer.".to_owned()),
            Some(Verdict::Wrong(fault)) => (Tick::Wrong, fault.message),
            Some(Verdict::Undetermined(fault)) => (Tick::NotSeen, fault.message),
        };
        Some(Self { tick, text })
    }
}

impl Certificate {
    fn new(domain: &Domain, expected: &Expected, now: DateTime<Utc>, reader: Reader<'_>) -> Self {
        let facts = domain.certificate(expected);
        let mark = match (domain.certificate_state(expected, now), domain.connection) {
            (CertificateState::Valid, _) => Mark::new("good", "Valid"),
            (CertificateState::Expired, _) => Mark::new("bad", "Expired"),
            (CertificateState::None, Connection::Direct) => {
                Mark::new("wait", "Comes by itself, once the records are right")
            }
            (CertificateState::None, Connection::Redirect | Connection::Proxy) => Mark::new(
                "good",
                "None is needed: devices meet that of the domain’s own web server",
            ),
        };
        let until = facts.map(|facts| ("Valid until", moment(&facts.not_after)));
        if reader == Reader::Guest {
            return Self {
                mark,
                facts: until.into_iter().collect(),
                explanation_url: None,
                failure: None,
                served: Vec::new(),
            };
        }
        let others = facts.map(|facts| {
            [
                ("Issued by", words::issuer(&facts.issuer)),
                ("Valid from", moment(&facts.not_before)),
            ]
        });
        let renews = facts.map(|facts| ("Renewed by itself", moment(&facts.renews_at)));
        Self {
            mark,
            facts: others.into_iter().flatten().chain(until).chain(renews).collect(),
            explanation_url: facts
                .and_then(|facts| facts.explanation_url.clone())
                .filter(|url| url.starts_with("https://")),
            failure: Failure::new(domain, expected),
            served: domain.served(expected).map(Shown::new).collect(),
        }
    }
}

impl Failure {
    fn new(domain: &Domain, expected: &Expected) -> Option<Self> {
        let failed = domain.certificate_failure(expected)?;
        Some(Self {
            message: failed.message.clone(),
            remedy: failed.remedy.clone(),
            ca: failed.ca.as_ref().map(|ca| format!("{}: {}", ca.kind, ca.detail)),
            at: moment(&failed.at),
            next_attempt_at: domain.next_attempt_at(expected).as_ref().map(moment),
        })
    }
}

impl Shown {
    fn new(served: &Served) -> Self {
        Self {
            address: served
                .address
                .clone()
                .unwrap_or_else(|| "The node’s own listener".to_owned()),
            mark: words::served(&served.state),
            not_after: served.not_after.as_ref().map_or_else(|| "–".to_owned(), moment),
            checked_at: moment(&served.checked_at),
        }
    }
}
