//! What the states of a domain are called, for people.
use crate::{
    console::statuses,
    domains::{
        Connection, Domain,
        next_action::{NextAction, Who},
        status::Status,
    },
    probe::Stage,
};

/// For whom a page is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader<'a> {
    /// A member, who knows the domain's client by this name.
    Member { client: &'a str },
    /// Somebody at the domain, with a share link.
    Guest,
}

/// A mark of a status: `good`, `wait` or `bad`, and its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: &'static str,
    pub word: String,
}

impl Mark {
    pub fn new(kind: &'static str, word: impl Into<String>) -> Self {
        Self {
            kind,
            word: word.into(),
        }
    }
}

pub fn status(status: Status, connection: Connection) -> Mark {
    match (status, connection) {
        (Status::PendingDns, Connection::Redirect | Connection::Proxy) => {
            Mark::new("wait", "Waiting for the web server")
        }
        _ => {
            let (class, words) = statuses::words(status);
            Mark::new(class, words)
        }
    }
}

/// Whose turn it is.
pub fn whose_turn(action: &NextAction, reader: Reader<'_>, hostname: &str) -> String {
    let role = match action.code {
        "fix_website" => "web server’s admin",
        "wait_for_certificate" => "admin",
        _ => "DNS admin",
    };
    match (action.who, reader) {
        (Who::Client, Reader::Member { client }) => format!("{client}’s {role}"),
        (Who::Client, Reader::Guest) => format!("the {role} of {hostname}"),
        (Who::Msp, Reader::Member { .. }) => "you".to_owned(),
        (Who::Msp, Reader::Guest) => "whoever sent you this page".to_owned(),
        (Who::Signpost, _) => "Signpost".to_owned(),
    }
}

/// The next step in one line; its message says the rest.
pub fn headline(action: &NextAction, domain: &Domain) -> String {
    let fixed = match (action.code, action.who) {
        ("add_ownership_record", _) => "Add the TXT record at your DNS host",
        ("renew_ownership_record", _) => "Remove the TXT record, and add it again",
        ("restore_ownership_record", _) => "Put the TXT record back",
        ("wait_for_take_over", _) => "Wait: the domain will be yours",
        ("settle_ownership", _) => "Settle whose domain this is",
        ("contact_operator", _) => "Ask the operator of this Signpost",
        ("fix_dns", _) => return format!("Point {} at Signpost", domain.hostname),
        ("fix_website", _) => "Make the web server send devices to Signpost",
        ("wait_for_check", _) => "We are looking at the domain",
        ("wait_for_certificate", Who::Signpost) => "We are getting the certificate",
        ("wait_for_certificate", _) => "Let the certificate be issued",
        ("renew_certificate", _) => "We are renewing the certificate",
        _ => "One more step",
    };
    fixed.to_owned()
}

/// A node that serves the certificate, as it was last seen.
pub fn served(state: &str) -> Mark {
    match state {
        "current" => Mark::new("good", "This certificate"),
        "outdated" => Mark::new("wait", "Another certificate than this"),
        "expired" => Mark::new("bad", "An expired certificate"),
        "none" => Mark::new("bad", "No certificate"),
        "unreachable" => Mark::new("bad", "Can’t be reached"),
        other => Mark::new("wait", other),
    }
}

/// "Let’s Encrypt", or the host of the CA.
pub fn issuer(name: &str) -> String {
    if name.starts_with("internal:") {
        return "Signpost’s own CA, for trials".to_owned();
    }
    let url = url::Url::parse(name).ok();
    match url.as_ref().and_then(url::Url::host_str) {
        Some(host) if host.ends_with(".letsencrypt.org") => format!("Let’s Encrypt ({host})"),
        Some(host) => host.to_owned(),
        None => name.to_owned(),
    }
}

/// What a device does at a stage of discovery.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Dns => "Looks up the name",
        Stage::Connect => "Connects",
        Stage::Tls => "Checks the certificate",
        Stage::Http => "Asks where to enroll",
        Stage::ContentType => "Looks at the kind of answer",
        Stage::Document => "Reads the answer",
        Stage::Head => "Asks for the head alone",
        Stage::Query => "Asks without saying who it is",
    }
}

pub fn connection(connection: Connection) -> &'static str {
    match connection {
        Connection::Direct => "Direct: the domain’s DNS records point at Signpost",
        Connection::Redirect => "Redirect: the domain’s web server sends devices on to Signpost",
        Connection::Proxy => "Proxy: the domain’s web server fetches Signpost’s answer",
    }
}
