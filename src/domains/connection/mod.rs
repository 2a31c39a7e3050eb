//! Whether a device's request for a domain reaches us: what was observed from outside against what
//! must be. Pure: stored are observations, never opinions, so that no opinion can be out of date.
mod caa;
mod direct;
mod faults;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::dns::{Caa, Lookup};
pub use caa::authority_of;
pub use direct::caa_forbids;
pub use faults::{Fault, RESOLVER_UNREACHABLE, cause_of};

/// How a device's request for the domain reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The domain's own records point at us.
    Direct,
    /// The customer's web server redirects to the edge host.
    Redirect,
    /// The customer's web server fetches our answer.
    Proxy,
}

impl Connection {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Redirect, Self::Proxy];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Redirect => "redirect",
            Self::Proxy => "proxy",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|connection| connection.as_str() == text)
    }
}

/// What must be observed of a domain that reaches us.
#[derive(Clone, Debug)]
pub struct Expected {
    pub addresses: Vec<IpAddr>,
    pub edge_host: String,
    /// As the world sees it.
    pub edge_port: u16,
    /// The name of the CA in CAA records (RFC 8659 §4.2); `None`: a CA that no such record can name.
    pub authority: Option<String>,
    /// How the CA validates (RFC 8555 §8), as CAA records name it (RFC 8657).
    pub validation_method: &'static str,
    /// Our account at the CA, once it is known.
    pub account_url: Option<String>,
    /// Whose certificates count.
    pub issuer: String,
}

/// What was seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    Records(Records),
    Fetched(Fetched),
}

/// Of a direct connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    pub a: Lookup<Ipv4Addr>,
    pub aaaa: Lookup<Ipv6Addr>,
    pub caa: Lookup<Caa>,
    /// What the name is an alias of, if that does not exist.
    pub dangling: Option<String>,
    /// What the probe found wrong behind records that are right.
    pub probe: Option<Finding>,
}

/// Of a redirect or a proxy: where our own fetch of the public URL ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fetched {
    /// At our answer.
    Ours,
    /// At an answer that is not ours: what it was.
    Elsewhere(String),
    Failed(Finding),
}

/// Codes of the probe that say that nothing can be said.
const TELLS_NOTHING: [&str; 4] = ["undetermined", "dns_timeout", "dns_server_failure", "dns_refused"];

/// The probe's own words for the first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A step of the probe.
    pub step: String,
    pub code: String,
    pub detail: String,
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Connected,
    Wrong(Fault),
    /// What was observed says neither.
    Undetermined(Fault),
}

/// One record beside what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordCheck {
    pub kind: &'static str,
    pub name: String,
    pub expected: Vec<String>,
    pub observed: Vec<String>,
    /// `None`: not looked at, or no answer.
    pub ok: Option<bool>,
}

/// Where a domain is answered at the edge host.
#[must_use]
pub fn edge_path(hostname: &str) -> String {
    format!("/d/{hostname}/.well-known/com.apple.remotemanagement")
}

/// `None`: not observed yet, or observed of another kind of connection than the domain has now.
#[must_use]
pub fn judge(
    connection: Connection,
    hostname: &str,
    observation: Option<&Observation>,
    expected: &Expected,
) -> Option<Verdict> {
    match (connection, observation?) {
        (Connection::Direct, Observation::Records(records)) => Some(direct::judge(hostname, records, expected)),
        (Connection::Redirect | Connection::Proxy, Observation::Fetched(fetched)) => {
            Some(judge_fetched(connection, hostname, fetched, expected))
        }
        _ => None,
    }
}

/// The records that matter for the connection, observed or not. Behind the customer's own web server none do.
#[must_use]
pub fn records(
    connection: Connection,
    hostname: &str,
    observation: Option<&Observation>,
    expected: &Expected,
) -> Vec<RecordCheck> {
    let observed = match observation {
        Some(Observation::Records(records)) => Some(records),
        _ => None,
    };
    match connection {
        Connection::Direct => direct::records(hostname, observed, expected),
        Connection::Redirect | Connection::Proxy => Vec::new(),
    }
}

fn judge_fetched(connection: Connection, hostname: &str, fetched: &Fetched, expected: &Expected) -> Verdict {
    match fetched {
        Fetched::Ours => Verdict::Connected,
        Fetched::Elsewhere(answer) => {
            Verdict::Wrong(faults::answered_elsewhere(connection, hostname, answer, expected))
        }
        Fetched::Failed(finding) if TELLS_NOTHING.contains(&&*finding.code) => Verdict::Undetermined(finding.into()),
        Fetched::Failed(finding) if faults::is_of_the_answer(finding) => {
            Verdict::Wrong(faults::wrong_answer(connection, hostname, finding, expected))
        }
        Fetched::Failed(finding) => Verdict::Wrong(finding.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            addresses: Vec::new(),
            edge_host: "edge.signpost.example".into(),
            edge_port: 443,
            authority: None,
            validation_method: "http-01",
            account_url: None,
            issuer: "internal".into(),
        }
    }

    #[test]
    fn a_fetch_is_judged_by_where_it_ended() {
        let finding = |code: &str| {
            Fetched::Failed(Finding {
                step: "http".into(),
                code: code.into(),
                detail: "The answer was 404.".into(),
                remedy: "Add the location.".into(),
            })
        };
        let judged = |fetched| {
            judge(
                Connection::Redirect,
                "contoso.com",
                Some(&Observation::Fetched(fetched)),
                &expected(),
            )
        };
        assert_eq!(judged(Fetched::Ours), Some(Verdict::Connected));
        assert!(matches!(
            judged(finding("undetermined")),
            Some(Verdict::Undetermined(_))
        ));
        let Some(Verdict::Wrong(fault)) = judged(finding("not_found")) else {
            panic!("wrong")
        };
        assert_eq!(
            (fault.cause.as_str(), fault.message.as_str()),
            (
                "not_found",
                "The answer was 404. Make it redirect to https://edge.signpost.example/d/contoso.com/.well-known/com.apple.remotemanagement; the domain's set-up has the lines for each server."
            )
        );
        let Some(Verdict::Wrong(fault)) = judged(finding("bot_challenge")) else {
            panic!("wrong")
        };
        assert_eq!(fault.message, "The answer was 404. Add the location.");
        let Some(Verdict::Wrong(fault)) = judged(Fetched::Elsewhere("another document".into())) else {
            panic!("wrong")
        };
        assert!(
            fault
                .message
                .contains("https://edge.signpost.example/d/contoso.com/.well-known/com.apple.remotemanagement")
        );
    }

    #[test]
    fn what_was_observed_of_another_connection_says_nothing() {
        let fetched = Observation::Fetched(Fetched::Ours);
        assert_eq!(
            judge(Connection::Direct, "contoso.com", Some(&fetched), &expected()),
            None
        );
        assert_eq!(judge(Connection::Proxy, "contoso.com", None, &expected()), None);
    }
}
