//! One connection, from the address to the answer: TCP, TLS, a request. Every wait ends at its own limit or at that
//! of the whole probe, whichever comes first. What went wrong comes back as a fault, ready to be told.
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use chrono::{DateTime, Utc};
use http::Method;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{net::TcpStream, time::Instant};
use url::Url;

use super::{
    Probe,
    certificate::{self, Fetched},
    chain::{self, Flaw, Verdict},
    exchange::{self, Answer, Question},
    hello::{self, Heard, Offer},
    refused::{self, Asked},
    report::{Code, Fault},
    target::Target,
    text::quoted,
    tls::{self, Stream},
};
use crate::outbound::{ConnectError, Get, Outbound};

const HELLO: Duration = Duration::from_secs(4);
const ISSUER: Duration = Duration::from_secs(5);
const MAX_ISSUER: usize = 64 * 1024;
/// Certificates fetched for one chain.
const MAX_ISSUERS: usize = 3;

/// What every connection of one probe needs.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    pub probe: &'a Probe,
    pub now: DateTime<Utc>,
    /// When the whole probe is over.
    pub end: Instant,
    /// Sent with each request.
    pub own_check: Option<&'a str>,
}

/// How an address is reached. The guard is its own: an address that a person named is let through by another one
/// than those that servers name.
#[derive(Clone)]
pub struct Line {
    pub address: SocketAddr,
    pub guard: Outbound,
}

/// A connection whose other end has proved its name.
pub struct Secured {
    pub stream: Stream,
    pub is_tls12: bool,
    /// What is said of it.
    pub detail: String,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Unconnected {
    /// From this machine no way leads to such addresses: nothing is said about the other end.
    NoWayFromHere,
    Failed(ConnectError),
}

impl Lines<'_> {
    fn patience(&self, most: Duration) -> Duration {
        most.min(self.end.saturating_duration_since(Instant::now()))
    }

    /// Whether there is time for another request.
    pub fn has_time(&self) -> bool {
        self.end > Instant::now() + Duration::from_secs(1)
    }

    pub async fn connect(&self, line: &Line) -> Result<TcpStream, Unconnected> {
        line.guard
            .connect(line.address, self.patience(self.probe.limits.connect))
            .await
            .map_err(|error| match error {
                ConnectError::Unreachable if !has_way(line.address) => Unconnected::NoWayFromHere,
                error => Unconnected::Failed(error),
            })
    }

    pub async fn secure(&self, line: &Line, stream: TcpStream, name: &str) -> Result<Secured, Fault> {
        let session = match tls::handshake(&self.probe.trust, stream, name, self.patience(self.probe.limits.tls)).await
        {
            Ok(session) => session,
            Err(broken) => {
                let asked = self.ask_otherwise(line, name).await;
                return Err(refused::fault(&broken, &asked, name));
            }
        };
        let verdict = chain::judge(&self.probe.trust, &session.chain, name, self.now);
        if !verdict.flaws.is_empty() {
            let fetched = self.complete(&session.chain, &verdict, name).await;
            if let Some(fault) = certificate::fault(&verdict, name, fetched) {
                return Err(fault);
            }
        }
        if let Some(why) = &session.bad_signature {
            return Err(bad_signature(why));
        }
        Ok(Secured {
            detail: format!(
                "{} ({}). {}",
                session.version,
                session.suite,
                certificate::fine(&verdict.leaf, self.now)
            ),
            is_tls12: session.is_tls12,
            stream: session.stream,
        })
    }

    /// Why a handshake failed, from what the server says to simpler questions.
    async fn ask_otherwise(&self, line: &Line, name: &str) -> Asked {
        let everything = self.hello(line, name, Offer::Everything).await;
        let modern = match &everything {
            Some(Heard::Hello(hello)) if !hello.is_modern() => self.hello(line, name, Offer::Modern).await,
            _ => None,
        };
        let in_the_clear = match &everything {
            Some(Heard::Silence | Heard::Closed | Heard::Other(_)) => match self.connect(line).await {
                Ok(stream) => Some(hello::ask_in_the_clear(stream, name, self.patience(HELLO)).await),
                Err(_) => None,
            },
            _ => None,
        };
        Asked {
            everything,
            modern,
            in_the_clear,
        }
    }

    async fn hello(&self, line: &Line, name: &str, offer: Offer) -> Option<Heard> {
        let stream = self.connect(line).await.ok()?;
        // An address is no server name (RFC 6066 §3).
        let name = Some(name).filter(|name| name.parse::<std::net::IpAddr>().is_err());
        Some(hello::ask(stream, name, offer, self.patience(HELLO)).await)
    }

    /// Whether a server that speaks TLS 1.2 knows the Extended Master Secret; `None` if that could not be seen.
    pub async fn has_extended_master_secret(&self, line: &Line, name: &str) -> Option<bool> {
        match self.hello(line, name, Offer::Everything).await? {
            Heard::Hello(hello) if hello.version == 0x0303 => Some(hello.extended_master_secret),
            _ => None,
        }
    }

    /// Fetches what is missing between what was sent and a root, to tell a chain that is incomplete from one that
    /// leads nowhere.
    async fn complete(&self, sent: &[CertificateDer<'static>], verdict: &Verdict, name: &str) -> Fetched {
        let mut chain = sent.to_vec();
        let mut flaws = verdict.flaws.clone();
        for _ in 0..=MAX_ISSUERS {
            let missing = flaws.iter().find_map(|flaw| match flaw {
                Flaw::NoPath(missing) => Some(missing),
                _ => None,
            });
            let Some(missing) = missing else {
                return Fetched::CompletesChain;
            };
            if missing.ends_in_root || missing.is_namesake {
                return Fetched::LeadsNowhere;
            }
            let Some(issuer) = self.fetch(missing.issuer_url.as_deref()).await else {
                return Fetched::No;
            };
            chain.push(issuer);
            flaws = chain::judge(&self.probe.trust, &chain, name, self.now).flaws;
        }
        Fetched::No
    }

    async fn fetch(&self, url: Option<&str>) -> Option<CertificateDer<'static>> {
        let url = Url::parse(url?).ok()?;
        let get = Get {
            url: &url,
            headers: &[],
            max_body: MAX_ISSUER,
            patience: self.patience(ISSUER),
            roots: &[],
        };
        let fetched = self.probe.outbound.fetch(&self.probe.dns, get).await.ok()?;
        CertificateDer::from_pem_slice(&fetched.body)
            .ok()
            .or_else(|| fetched.body.starts_with(&[0x30]).then(|| fetched.body.to_vec().into()))
    }

    pub async fn ask(&self, stream: Stream, target: &Target, method: Method) -> Result<Answer, Fault> {
        let question = Question {
            target,
            method,
            own_check: self.own_check,
        };
        exchange::ask(stream, &question, self.patience(self.probe.limits.answer))
            .await
            .map_err(|none| none.fault())
    }
}

fn bad_signature(why: &str) -> Fault {
    Fault::new(
        Code::Undetermined,
        format!("The server's signature does not fit its certificate: {}.", quoted(why)),
    )
    .expected("A handshake that is signed with the certificate's key.")
    .remedy("Whoever runs the web server installs a certificate together with its own key.")
}

/// Whether this machine would know where to send a packet; none is sent.
fn has_way(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

/// What is said if none of a name's addresses takes a connection.
pub fn unconnected(tried: &[(SocketAddr, Unconnected)]) -> Fault {
    let failed: Vec<_> = tried
        .iter()
        .filter_map(|(address, why)| match why {
            Unconnected::Failed(error) => Some((address, error)),
            Unconnected::NoWayFromHere => None,
        })
        .collect();
    let each: Vec<_> = failed
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    let each = each.join("; ");
    let all = |is: fn(&ConnectError) -> bool| failed.iter().all(|(_, error)| is(error));
    let fault = match failed.first() {
        None => return no_way_from_here(tried),
        Some(_) if all(|error| matches!(error, ConnectError::Refused)) => {
            Fault::new(Code::ConnectionRefused, format!("Nothing listens there: {each}."))
                .remedy("Whoever runs the server starts its web server on this port, for https; a firewall that answers for it looks the same. If that is not the server that should answer, correct the DNS records.")
        }
        Some(_) if all(|error| matches!(error, ConnectError::Timeout)) => {
            Fault::new(Code::ConnectionTimeout, format!("The server does not answer: {each}."))
                .remedy("Whoever runs the server opens this port in its firewall, for everybody; or starts the server. If that is not the server that should answer, correct the DNS records.")
        }
        Some(_) if all(|error| matches!(error, ConnectError::Unreachable)) => {
            Fault::new(Code::ConnectionUnreachable, format!("No way leads there: {each}."))
                .remedy("Whoever maintains the domain's DNS corrects the address, or whoever runs the network makes it reachable.")
        }
        Some((_, error)) => Fault::new(code(error), format!("No address takes a connection: {each}."))
            .remedy("Whoever runs the servers opens this port and starts their web servers; records of servers that no longer exist are removed from DNS."),
    };
    fault.expected("A TCP connection on this port.")
}

pub fn code(error: &ConnectError) -> Code {
    match error {
        ConnectError::Forbidden(_) => Code::ForbiddenAddress,
        ConnectError::Refused => Code::ConnectionRefused,
        ConnectError::Timeout => Code::ConnectionTimeout,
        ConnectError::Unreachable => Code::ConnectionUnreachable,
        ConnectError::Other(_) => Code::Undetermined,
    }
}

fn no_way_from_here(tried: &[(SocketAddr, Unconnected)]) -> Fault {
    let family = match tried.iter().all(|(address, _)| address.is_ipv6()) {
        true => "The name has only IPv6 addresses, and this machine has no IPv6",
        false => "This machine has no way to these addresses",
    };
    Fault::new(
        Code::Undetermined,
        format!("{family}: whether devices get an answer can't be told from here."),
    )
    .expected("A machine that can reach the addresses.")
    .remedy(
        "Look again from a machine with IPv6. An A record beside the AAAA record lets every network reach the domain.",
    )
    .devices("Those in networks without IPv6 can't reach the domain either.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_takes_a_connection_is_told_by_its_reason() {
        let four: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let six: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        let refused = || Unconnected::Failed(ConnectError::Refused);
        let timeout = || Unconnected::Failed(ConnectError::Timeout);
        let unreachable = || Unconnected::Failed(ConnectError::Unreachable);
        for (tried, code, said) in [
            (vec![(four, refused())], Code::ConnectionRefused, "192.0.2.1:443"),
            (
                vec![(four, refused()), (six, Unconnected::NoWayFromHere)],
                Code::ConnectionRefused,
                "listens",
            ),
            (
                vec![(four, timeout()), (six, timeout())],
                Code::ConnectionTimeout,
                "[2001:db8::1]:443",
            ),
            (vec![(four, unreachable())], Code::ConnectionUnreachable, "way"),
            (
                vec![(four, refused()), (six, timeout())],
                Code::ConnectionRefused,
                "in time",
            ),
            (vec![(six, Unconnected::NoWayFromHere)], Code::Undetermined, "no IPv6"),
        ] {
            let fault = unconnected(&tried);
            assert!(fault.code == code && fault.detail.contains(said), "{fault:?}");
        }
    }
}
