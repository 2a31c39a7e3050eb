//! What is told of one request, and to whom: the request log, before the answer leaves.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use uuid::Uuid;

use super::{directory::Entry, query::Asked, request::TlsVersion};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Served,
    Rejected,
    Deferred,
    Redirected,
    UnknownDomain,
}

impl Outcome {
    pub const ALL: [Self; 5] = [
        Self::Served,
        Self::Rejected,
        Self::Deferred,
        Self::Redirected,
        Self::UnknownDomain,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Redirected => "redirected",
            Self::UnknownDomain => "unknown_domain",
        }
    }
}

/// One worker's way into the request log. A request is told when its answer is made and has not left: an answer that
/// somebody got was told. Never waits for anybody, and never fails: what can't be kept is counted.
pub trait Log {
    fn hit(&self, hit: &Hit<'_>);
    fn stranger(&self, stranger: &Stranger<'_>);
}

/// Makes one for each worker.
pub trait Logs: Send + Sync {
    fn of_worker(&self) -> Box<dyn Log>;
}

/// One answered request of a domain that we know.
pub struct Hit<'a> {
    pub about: About<'a>,
    pub entry: &'a Entry,
    pub user: Option<UserDigest>,
    pub outcome: Outcome,
    pub status: u16,
    pub server_id: Option<Uuid>,
}

/// One request for a domain that we don't know (or don't serve).
pub struct Stranger<'a> {
    pub about: About<'a>,
    pub hostname: &'a str,
}

/// What any request tells.
pub struct About<'a> {
    /// Microseconds since 1970.
    pub at: i64,
    pub asked: Asked,
    /// Of the header, whole.
    pub user_agent: &'a [u8],
    pub network: Network,
    pub tls: Option<TlsVersion>,
}

/// The identifier under the organisation's key: tells one person's attempts together, and nobody who.
pub type UserDigest = [u8; 16];

/// The network that a request came from: /24 or /48, never the full address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Unknown,
}

impl Network {
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4(Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Self::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}/24"),
            Self::V6(address) => write!(f, "{address}/48"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// As it is written.
impl FromStr for Network {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None => Ok(Self::Unknown),
            Some((address, _)) => address.parse().map(Self::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_it_is_written() {
        for address in ["203.0.113.77", "2001:db8:1:2::3", "::ffff:203.0.113.77"] {
            let network = Network::of(address.parse().expect("an address"));
            assert_eq!(network.to_string().parse(), Ok(network), "{address}");
        }
        assert_eq!("unknown".parse(), Ok(Network::Unknown));
        assert!("nonsense/24".parse::<Network>().is_err());
    }
}
