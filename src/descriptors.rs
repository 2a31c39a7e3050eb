//! Open files: the limit is raised at the start, and what the process needs besides client connections is kept back.
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Client connections of a node at most, however many files it may open. An idle one with TLS takes some 40 KiB.
const MAX_CONNECTIONS: u32 = 20_000;
/// Connections are accepted although few files may be open, so that a node with a low limit still answers.
const MIN_CONNECTIONS: u32 = 64;

/// Descriptors that client connections never take.
const RESERVED: u32 = LISTENERS_AND_RUNTIME + DATABASE + SPOOL + OPS + OUTBOUND;
/// Three listeners, standard streams, and what each runtime thread polls with.
const LISTENERS_AND_RUNTIME: u32 = 48;
/// Both pools, the listener for notifications, and connections that are being replaced after a failover.
const DATABASE: u32 = 64;
/// Segments being written and shipped, the snapshot, locks.
const SPOOL: u32 = 32;
/// Connections to the ops listener.
pub const OPS: u32 = 64;
/// Checks, probes, orders, webhooks, mail, and their DNS queries.
const OUTBOUND: u32 = 176;

/// The limit that was in force before this process raised it.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit on open files as far as is useful and allowed. Returns how many client connections it leaves
/// room for.
pub fn raise() -> u32 {
    let before = BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    let raised = u64::from(MAX_CONNECTIONS + RESERVED).min(before.maximum.unwrap_or(u64::MAX));
    let mut limit = before.current.unwrap_or(u64::MAX);
    if limit < raised {
        let wanted = Rlimit {
            current: Some(raised),
            maximum: before.maximum,
        };
        match setrlimit(Resource::Nofile, wanted) {
            Ok(()) => limit = raised,
            Err(error) => {
                tracing::warn!(event = "process.file_limit", %error, limit, "could not raise the limit on open files");
            }
        }
    }
    let connections = max_connections(limit);
    if connections == MIN_CONNECTIONS {
        tracing::warn!(
            event = "process.file_limit",
            limit,
            reserved = RESERVED,
            "the limit on open files leaves few for client connections: raise it (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}

/// The limit that child processes get back: some programs touch every descriptor that they could have. `None` if
/// [`raise`] was not called.
#[must_use]
pub fn limit_of_children() -> Option<Rlimit> {
    BEFORE.get().copied()
}

fn max_connections(limit: u64) -> u32 {
    let left = u32::try_from(limit).unwrap_or(u32::MAX).saturating_sub(RESERVED);
    left.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_reserve_leaves() {
        assert_eq!(RESERVED, 384);
        for (limit, expected) in [
            (256, 64),
            (448, 64),
            (1_024, 640),
            (4_096, 3_712),
            (20_384, 20_000),
            (1_048_576, 20_000),
            (u64::MAX, 20_000),
        ] {
            assert_eq!(max_connections(limit), expected, "{limit}");
        }
    }
}
