//! A limit that client networks share: however many places one network takes, others still find some.
//!
//! Each network may hold half of what is free (the dynamic threshold of Choudhury and Hahne, "Dynamic queue length
//! thresholds for shared-memory packet switches", IEEE/ACM Transactions on Networking, 1998). One network alone gets a third of all places,
//! two get a quarter each, and ten still leave a sixth of them for others. No list of networks is kept: the counts lie
//! in a fixed table, so that an attacker with many networks cannot make it grow, and no lock is taken.
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use crate::discovery::hit::Network;

/// A network may always hold this many places, as long as there are any.
const MIN_PER_NETWORK: u32 = 8;
/// Two rows of counters. A network is refused only if its counters in both rows say so, so that another network that
/// shares one counter with a busy one is not refused.
const ROWS: usize = 2;
const COUNTERS_PER_ROW: usize = 16_384;

pub struct FairLimit {
    capacity: u32,
    taken: AtomicU32,
    networks: Box<[[AtomicU32; COUNTERS_PER_ROW]; ROWS]>,
    /// Keyed: a client can't choose addresses that share counters with somebody else's.
    hasher: RandomState,
    refused_by_node: AtomicU64,
    refused_by_network: AtomicU64,
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All places of the node are taken.
    Node,
    /// This network's share is taken.
    Network,
}

/// One place, until it is dropped.
pub struct Permit {
    limit: Arc<FairLimit>,
    counters: Option<[usize; ROWS]>,
}

impl FairLimit {
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let zeros = || -> [AtomicU32; COUNTERS_PER_ROW] { std::array::from_fn(|_| AtomicU32::new(0)) };
        Self {
            capacity,
            taken: AtomicU32::new(0),
            networks: Box::new(std::array::from_fn(|_| zeros())),
            hasher: RandomState::new(),
            refused_by_node: AtomicU64::new(0),
            refused_by_network: AtomicU64::new(0),
        }
    }

    /// Takes a place. `None` as the network: a trusted peer that speaks for many networks; only the node's bound counts.
    pub fn try_acquire(self: &Arc<Self>, network: Option<Network>) -> Result<Permit, Refusal> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken >= self.capacity {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            self.refused_by_node.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Node);
        }
        let permit = Permit {
            limit: self.clone(),
            counters: network.map(|network| self.counters(network)),
        };
        if let Some(counters) = permit.counters {
            let before = counters
                .iter()
                .enumerate()
                .map(|(row, counter)| self.networks[row][*counter].fetch_add(1, Ordering::Relaxed))
                .min();
            // Returning drops the permit, which gives the place back.
            if before.is_some_and(|held| held >= allowance(self.capacity, taken)) {
                self.refused_by_network.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::Network);
            }
        }
        Ok(permit)
    }

    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many were refused since the start.
    #[must_use]
    pub fn refused(&self, by: Refusal) -> u64 {
        match by {
            Refusal::Node => &self.refused_by_node,
            Refusal::Network => &self.refused_by_network,
        }
        .load(Ordering::Relaxed)
    }

    fn counters(&self, network: Network) -> [usize; ROWS] {
        let hash = self.hasher.hash_one(network);
        std::array::from_fn(|row| {
            let part = (hash >> (row * 32)) & 0xffff_ffff;
            usize::try_from(part).unwrap_or_default() % COUNTERS_PER_ROW
        })
    }
}

/// How many places one network may hold when `taken` of `capacity` are taken.
#[must_use]
pub fn allowance(capacity: u32, taken: u32) -> u32 {
    (capacity.saturating_sub(taken) / 2).max(MIN_PER_NETWORK)
}

impl Drop for Permit {
    fn drop(&mut self) {
        for (row, counter) in self.counters.into_iter().flatten().enumerate() {
            self.limit.networks[row][counter].fetch_sub(1, Ordering::Relaxed);
        }
        self.limit.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(third_octet: u8) -> Network {
        Network::of([10, 0, third_octet, 1].into())
    }

    /// Takes places until one is refused.
    fn exhaust(limit: &Arc<FairLimit>, network: Option<Network>) -> (Vec<Permit>, Refusal) {
        let mut permits = Vec::new();
        loop {
            match limit.try_acquire(network) {
                Ok(permit) => permits.push(permit),
                Err(refusal) => return (permits, refusal),
            }
        }
    }

    #[test]
    fn a_network_may_hold_half_of_what_is_free_and_a_few_in_any_case() {
        for (capacity, taken, expected) in [
            (900, 0, 450),
            (900, 300, 300),
            (900, 898, 8),
            (900, 1_000, 8),
            (4, 0, 8),
        ] {
            assert_eq!(allowance(capacity, taken), expected, "{taken} of {capacity}");
        }
    }

    #[test]
    fn one_network_gets_a_third_and_ten_leave_places_for_the_next() {
        let limit = Arc::new(FairLimit::new(900));
        let (first, refusal) = exhaust(&limit, Some(network(0)));
        assert_eq!((first.len(), refusal), (300, Refusal::Network));
        let others: Vec<_> = (1..10).map(|octet| exhaust(&limit, Some(network(octet))).0).collect();
        assert!(others.iter().all(|permits| permits.len() >= 8));
        assert!(limit.try_acquire(Some(network(200))).is_ok());
        drop((first, others));
        assert_eq!(limit.taken(), 0);
        assert_eq!(exhaust(&limit, Some(network(0))).0.len(), 300);
    }

    #[test]
    fn a_trusted_peer_is_bound_by_the_node_alone() {
        let limit = Arc::new(FairLimit::new(50));
        let (permits, refusal) = exhaust(&limit, None);
        assert_eq!((permits.len(), refusal), (50, Refusal::Node));
        assert_eq!((limit.refused(Refusal::Node), limit.refused(Refusal::Network)), (1, 0));
    }

    #[test]
    fn addresses_of_one_network_share_its_places() {
        let limit = Arc::new(FairLimit::new(90));
        let (_permits, _) = exhaust(&limit, Some(Network::of("2001:db8:1:2::3".parse().unwrap())));
        let neighbour = Network::of("2001:db8:1:ffff::9".parse().unwrap());
        assert_eq!(limit.try_acquire(Some(neighbour)).err(), Some(Refusal::Network));
        assert!(
            limit
                .try_acquire(Some(Network::of("2001:db8:2::3".parse().unwrap())))
                .is_ok()
        );
    }
}
