//! What is wrong with a connection, in words: what was seen, and what to do about it.
use std::{fmt::Display, net::IpAddr};

use super::{Connection, Expected, Finding, edge_path};
use crate::dns::Failure;

/// One thing that is wrong. Whoever keeps the domain's DNS or web server must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The same names as the probe's codes.
    pub cause: String,
    pub message: String,
}

impl Fault {
    fn new(cause: &str, message: impl Display) -> Self {
        Self {
            cause: cause.to_owned(),
            message: message.to_string(),
        }
    }
}

impl From<&Finding> for Fault {
    fn from(finding: &Finding) -> Self {
        Self::new(&finding.code, format_args!("{} {}", finding.detail, finding.remedy))
    }
}

pub(super) fn no_such_name(hostname: &str, dangling: Option<&str>, expected: &Expected) -> Fault {
    let what = match dangling {
        Some(target) => format!("{hostname} is an alias (CNAME) of {target}, and that name does not exist."),
        None => format!("{hostname} does not exist in the DNS (NXDOMAIN)."),
    };
    let fix = "Check the spelling and that the domain is registered and delegated";
    Fault::new(
        "no_such_name",
        format_args!("{what} {fix}, then {}.", add_records(expected)),
    )
}

/// Name servers that deny a name of which they know records of another kind.
pub(super) fn denied(hostname: &str, known: &str, asked: &str) -> Fault {
    Fault::new(
        "no_such_name",
        format_args!(
            "The {known} record of {hostname} is right, but asked for {asked} its name servers say that the name does not exist (NXDOMAIN): whoever hears that first takes the name for missing. Have whoever runs the name servers let them answer that there is no such record."
        ),
    )
}

pub(super) fn no_address(hostname: &str, expected: &Expected) -> Fault {
    let what = format!("{hostname} has neither an A nor an AAAA record.");
    Fault::new(
        "no_address",
        format_args!("{what} At its DNS host, {}.", add_records(expected)),
    )
}

/// `wrong` are addresses of one family; `is_other_family_right` if the other one's are all ours.
pub(super) fn address_elsewhere(
    hostname: &str,
    (kind, wrong): (&str, &[IpAddr]),
    is_other_family_right: bool,
    expected: &Expected,
) -> Fault {
    let ours = expected.of_family(kind);
    let fix = match ours.is_empty() {
        true => format!("Remove {}.", if wrong.len() == 1 { "it" } else { "them" }),
        false => format!("Replace it with {}.", list(&ours)),
    };
    let seen = format!(
        "The {kind} record of {hostname} says {}, which is not ours.",
        list(wrong)
    );
    let why = match is_other_family_right {
        true if kind == "AAAA" => " The A record is right, but devices on IPv6 networks go to the AAAA record first.",
        true => " The AAAA record is right, but devices on IPv4 networks use the A record.",
        false => "",
    };
    Fault::new("address_elsewhere", format_args!("{seen}{why} {fix}"))
}

pub(super) fn alias_elsewhere(hostname: &str, target: &str, expected: &Expected) -> Fault {
    Fault::new(
        "alias_elsewhere",
        format_args!(
            "{hostname} is an alias (CNAME) of {target}, which does not lead to us. Point the CNAME at {}, or replace it: {}.",
            expected.edge_host,
            add_records(expected)
        ),
    )
}

pub(super) fn caa_forbids(hostname: &str, found_at: &str, authority: &str) -> Fault {
    Fault::new(
        "caa_forbids",
        format_args!(
            "The CAA records of {found_at} do not let {authority} issue a certificate for {hostname}. Add a CAA record there: 0 issue \"{authority}\"."
        ),
    )
}

pub(super) fn caa_excludes_us(hostname: &str, found_at: &str, record: &str, expected: &Expected) -> Fault {
    let account = match &expected.account_url {
        Some(url) => format!(" and accounturi, if it is there, {url}"),
        None => String::new(),
    };
    Fault::new(
        "caa_forbids",
        format_args!(
            "A CAA record of {found_at} names our authority, but not for us: {record}. For {hostname}, its validationmethods must name {}{account}. Add that, or another record without parameters.",
            expected.validation_method
        ),
    )
}

pub(super) fn caa_unknown_tag(hostname: &str, found_at: &str, record: &str) -> Fault {
    Fault::new(
        "caa_forbids",
        format_args!(
            "A CAA record of {found_at} keeps every authority from issuing a certificate for {hostname}: {record} is marked critical, and its tag is unknown. Remove it, or write its flags as 0."
        ),
    )
}

/// The cause that lies with us and not with the domain.
pub const RESOLVER_UNREACHABLE: &str = "resolver_unreachable";

/// Why a look-up told nothing, by the probe's codes.
#[must_use]
pub fn cause_of(failure: Failure) -> &'static str {
    match failure {
        Failure::Unreachable => RESOLVER_UNREACHABLE,
        Failure::Timeout => "dns_timeout",
        Failure::Refused => "dns_refused",
        Failure::ServerFailure => "dns_server_failure",
        Failure::NoSuchName => "no_such_name",
        Failure::Unreadable => "undetermined",
    }
}

pub(super) fn no_answer(what: &str, hostname: &str, failure: Failure) -> Fault {
    let (seen, fix) = match failure {
        Failure::Unreachable => (
            "Signpost's own DNS servers can't be reached",
            "There is nothing for you to do.",
        ),
        Failure::Timeout => (
            "no answer came in time",
            "If this lasts, check that the name servers named at the registrar are the right ones and are up.",
        ),
        Failure::Refused => (
            "the name servers refuse to answer for it",
            "Check that the name servers named at the registrar serve this domain.",
        ),
        Failure::ServerFailure => (
            "the look-up fails (SERVFAIL)",
            "Usual causes: DNSSEC records that no longer fit (check the DS record at the registrar), or name servers that do not serve the domain.",
        ),
        Failure::NoSuchName | Failure::Unreadable => (
            "the answer could not be understood",
            "Ask whoever runs the domain's name servers.",
        ),
    };
    Fault::new(
        cause_of(failure),
        format_args!("We can't tell what the {what} records of {hostname} are: {seen}. {fix} We go on trying."),
    )
}

/// Whether the web server answers, and what it answers is not ours: then it was not set up, whatever else is wrong with it.
pub(super) fn is_of_the_answer(finding: &Finding) -> bool {
    matches!(finding.step.as_str(), "content_type" | "document") || finding.code == "not_found"
}

pub(super) fn wrong_answer(connection: Connection, hostname: &str, finding: &Finding, expected: &Expected) -> Fault {
    Fault::new(
        &finding.code,
        format_args!("{} {}", finding.detail, set_up(connection, hostname, expected)),
    )
}

pub(super) fn answered_elsewhere(connection: Connection, hostname: &str, answer: &str, expected: &Expected) -> Fault {
    Fault::new(
        "answered_elsewhere",
        format_args!(
            "The web server of {hostname} gives an answer that is not ours: {answer} {}",
            set_up(connection, hostname, expected)
        ),
    )
}

fn set_up(connection: Connection, hostname: &str, expected: &Expected) -> String {
    let target = expected.target(hostname);
    let fix = match connection {
        Connection::Proxy => format!("Make it fetch {target} and pass the answer on unchanged"),
        Connection::Redirect | Connection::Direct => format!("Make it redirect to {target}"),
    };
    format!("{fix}; the domain's set-up has the lines for each server.")
}

impl Expected {
    /// Where the customer's web server redirects to, or what it fetches.
    fn target(&self, hostname: &str) -> String {
        let edge = match self.edge_port {
            443 => self.edge_host.clone(),
            port => format!("{}:{port}", self.edge_host),
        };
        format!("https://{edge}{}", edge_path(hostname))
    }

    /// Our addresses for an `A` or an `AAAA` record.
    pub(super) fn of_family(&self, kind: &str) -> Vec<IpAddr> {
        self.addresses
            .iter()
            .copied()
            .filter(|address| address.is_ipv4() == (kind == "A"))
            .collect()
    }
}

fn add_records(expected: &Expected) -> String {
    let records: Vec<_> = ["A", "AAAA"]
        .into_iter()
        .map(|kind| (kind, expected.of_family(kind)))
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(kind, addresses)| format!("{kind} {}", list(&addresses)))
        .collect();
    format!("set {}", records.join(" and "))
}

/// The first few, so that the sentence stays one.
pub(super) fn list<T: Display>(items: &[T]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
