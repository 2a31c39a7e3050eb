//! What is remembered of one request, and the bounded queue that carries it to the request log.
//! Pushing never waits and never allocates; what does not fit is dropped and counted.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use crossbeam_queue::ArrayQueue;
use uuid::Uuid;

use super::{directory::Entry, query::Asked, request::TlsVersion};

/// At 100,000 requests a second this is a third of a second; the queue is emptied ten times in that.
const QUEUE: usize = 32_768;
/// Requests for unknown domains that are kept row by row, each minute and node; all are counted.
pub const STRANGERS_A_MINUTE: u32 = 60;

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

/// One answered request of a domain that we know.
pub struct Hit {
    pub about: About,
    pub entry: Arc<Entry>,
    pub user: Option<UserDigest>,
    pub outcome: Outcome,
    pub status: u16,
    pub server_id: Option<Uuid>,
}

/// One request for a domain that we don't know (or don't serve).
pub struct Stranger {
    pub about: About,
    pub hostname: Box<str>,
}

/// What any request tells.
pub struct About {
    /// Microseconds since 1970.
    pub at: i64,
    pub asked: Asked,
    pub user_agent: UserAgent,
    pub network: Network,
    pub tls: Option<TlsVersion>,
}

/// The identifier under the organisation's key: tells one person's attempts together, and nobody who.
pub type UserDigest = [u8; 16];

/// The first bytes of the `User-Agent` header.
pub struct UserAgent {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl UserAgent {
    pub const MAX: usize = 120;

    #[must_use]
    pub fn new(header: &[u8]) -> Self {
        let length = header.len().min(Self::MAX);
        let mut bytes = [0; Self::MAX];
        bytes[..length].copy_from_slice(&header[..length]);
        Self {
            bytes,
            length: u8::try_from(length).unwrap_or(u8::MAX),
        }
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The network that a request came from: /24 or /48, never the full address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Between the workers and the request log.
pub struct Queue {
    hits: ArrayQueue<Hit>,
    strangers: ArrayQueue<Stranger>,
    stranger_permits: AtomicU32,
    stranger_counts: [AtomicU64; Asked::ALL.len()],
    dropped: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        Self::with_capacity(QUEUE)
    }
}

impl Queue {
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            hits: ArrayQueue::new(capacity),
            strangers: ArrayQueue::new(STRANGERS_A_MINUTE as usize),
            stranger_permits: AtomicU32::new(STRANGERS_A_MINUTE),
            stranger_counts: Default::default(),
            dropped: AtomicU64::new(0),
        }
    }

    pub fn push(&self, hit: Hit) {
        if self.hits.push(hit).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request for an unknown domain; `row` is made and kept only while there are permits,
    /// so that a flood costs one addition each.
    pub fn push_stranger(&self, asked: Asked, row: impl FnOnce() -> Stranger) {
        self.stranger_counts[asked.index()].fetch_add(1, Ordering::Relaxed);
        let permit = self
            .stranger_permits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if permit.is_ok() && self.strangers.push(row()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[must_use]
    pub fn pop(&self) -> Option<Hit> {
        self.hits.pop()
    }

    #[must_use]
    pub fn pop_stranger(&self) -> Option<Stranger> {
        self.strangers.pop()
    }

    /// Takes the counts of requests for unknown domains since the last call, by family.
    pub fn take_stranger_counts(&self) -> impl Iterator<Item = (Asked, u64)> {
        Asked::ALL
            .into_iter()
            .map(|asked| (asked, self.stranger_counts[asked.index()].swap(0, Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// Once a minute.
    pub fn renew_stranger_permits(&self) {
        self.stranger_permits.store(STRANGERS_A_MINUTE, Ordering::Relaxed);
    }

    #[must_use]
    pub fn depth(&self) -> usize {
        self.hits.len()
    }

    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger() -> Stranger {
        let about = About {
            at: 0,
            asked: Asked::None,
            user_agent: UserAgent::new(b""),
            network: Network::Unknown,
            tls: None,
        };
        Stranger {
            about,
            hostname: "unknown.example".into(),
        }
    }

    #[test]
    fn a_flood_of_strangers_is_counted_in_full_and_kept_in_part() {
        let queue = Queue::with_capacity(1);
        for _ in 0..10_000 {
            queue.push_stranger(Asked::Unknown, stranger);
        }
        assert_eq!(
            queue.take_stranger_counts().collect::<Vec<_>>(),
            [(Asked::Unknown, 10_000)]
        );
        assert_eq!(
            std::iter::from_fn(|| queue.pop_stranger()).count(),
            STRANGERS_A_MINUTE as usize
        );
        assert_eq!((queue.take_stranger_counts().count(), queue.dropped()), (0, 0));
    }

    #[test]
    fn networks_do_not_tell_the_address() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ] {
            assert_eq!(Network::of(address.parse().expect("an address")).to_string(), network);
        }
    }
}
