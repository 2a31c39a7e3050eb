//! What happened to connections, for the ops listener.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::fair_limit::{FairLimit, Refusal};

/// The bounds of the public listeners, and counts of what they refused.
pub struct ConnectionStats {
    /// Every open connection has one place.
    pub connections: Arc<FairLimit>,
    /// Connections whose TLS handshake or PROXY header is not complete.
    pub handshakes: Arc<FairLimit>,
    /// Requests to the portal host (API and console) that are being answered.
    pub portal_requests: Arc<FairLimit>,
    pub closed: ClosedConnections,
}

/// Connections that the server closed, by reason.
#[derive(Default)]
pub struct ClosedConnections([AtomicU64; CloseReason::ALL.len()]);

/// Why the server closed a connection of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The PROXY header was missing, invalid or late.
    ProxyHeader,
    /// The TLS handshake took too long.
    HandshakeTimeout,
    /// The client did not read its answer.
    WriteTimeout,
}

impl CloseReason {
    pub const ALL: [Self; 3] = [Self::ProxyHeader, Self::HandshakeTimeout, Self::WriteTimeout];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProxyHeader => "proxy_header",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::WriteTimeout => "write_timeout",
        }
    }
}

impl ConnectionStats {
    /// Bounds for a node that may have this many connections at once.
    #[must_use]
    pub fn new(max_connections: u32, max_portal_requests: u32) -> Self {
        Self {
            connections: Arc::new(FairLimit::new(max_connections)),
            // A flood of handshakes leaves half of the places to connections that are past theirs.
            handshakes: Arc::new(FairLimit::new(max_connections / 2)),
            portal_requests: Arc::new(FairLimit::new(max_portal_requests)),
            closed: ClosedConnections::default(),
        }
    }

    /// Each limit with its name in metrics.
    #[must_use]
    pub fn limits(&self) -> [(&'static str, &FairLimit); 3] {
        [
            ("connection", &self.connections),
            ("handshake", &self.handshakes),
            ("portal_request", &self.portal_requests),
        ]
    }
}

impl ClosedConnections {
    pub fn count(&self, reason: CloseReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn total(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}

impl Refusal {
    pub const ALL: [Self; 2] = [Self::Node, Self::Network];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Network => "network",
        }
    }
}
