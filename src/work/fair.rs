//! Who gets the next free places. Organisations cost nothing to make, so "half of the places for one organisation" keeps
//! nobody from taking all of them with two.
//!
//! An organisation may hold as many places as are free (the dynamic threshold that `connections::fair_limit` uses for
//! networks): one alone gets half, two get a third each, and fifty leave a place for the next. Organisations that
//! registered themselves and have proved no domain share half of the places, so that the others always find some.
//! Who holds fewest is served first, and of those who has waited longest since its last turn.
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// An organisation with work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<T> {
    pub tenant: T,
    /// How many pieces of work it has.
    pub work: usize,
    /// Made by an operator, or has proved a domain.
    pub is_trusted: bool,
}

/// What an organisation holds and when it was served last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub places: usize,
    pub is_trusted: bool,
    /// A count of turns; 0: never.
    pub last_served: u64,
}

/// How many places each of `waiting` gets now, in its order.
pub fn share<T: Copy + Eq + Hash>(
    capacity: usize,
    holdings: &HashMap<T, Holding>,
    waiting: &[Waiting<T>],
) -> Vec<usize> {
    let mut taken: usize = holdings.values().map(|held| held.places).sum();
    let mut untrusted: usize = holdings
        .values()
        .filter(|held| !held.is_trusted)
        .map(|held| held.places)
        .sum();
    let held = |tenant: &T| holdings.get(tenant).copied().unwrap_or_default();
    let mut granted = vec![0; waiting.len()];
    loop {
        let next = (0..waiting.len())
            .filter(|index| {
                let wanted = &waiting[*index];
                let own = held(&wanted.tenant).places + granted[*index];
                granted[*index] < wanted.work
                    && may_take(capacity, taken, own)
                    && (wanted.is_trusted || untrusted < capacity.div_ceil(2))
            })
            .min_by_key(|index| {
                let held = held(&waiting[*index].tenant);
                (held.places + granted[*index], held.last_served)
            });
        let Some(index) = next else { return granted };
        granted[index] += 1;
        taken += 1;
        if !waiting[index].is_trusted {
            untrusted += 1;
        }
    }
}

/// Whether an organisation that holds `own` of the `taken` places may take one more.
#[must_use]
pub fn may_take(capacity: usize, taken: usize, own: usize) -> bool {
    let free = capacity.saturating_sub(taken);
    free > 0 && (own == 0 || own < free)
}

/// Places that are shared so.
pub struct FairShare<T: Copy + Eq + Hash> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    holdings: HashMap<T, Holding>,
    turns: u64,
}

/// One place, until it is dropped.
pub struct Permit<'a, T: Copy + Eq + Hash> {
    places: &'a FairShare<T>,
    tenant: T,
}

/// Organisations that hold nothing are remembered for their last turn up to this many.
const MAX_REMEMBERED: usize = 10_000;

impl<T: Copy + Eq + Hash> FairShare<T> {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let state = State {
            holdings: HashMap::new(),
            turns: 0,
        };
        Self {
            capacity,
            state: Mutex::new(state),
        }
    }

    /// How many of its pieces of work each of `waiting` may begin now, in its order.
    pub fn shares(&self, waiting: &[Waiting<T>]) -> Vec<usize> {
        share(self.capacity, &self.state().holdings, waiting)
    }

    /// Takes a place that [`Self::shares`] granted.
    pub fn take(&self, tenant: T, is_trusted: bool) -> Permit<'_, T> {
        let mut state = self.state();
        state.turns += 1;
        let last_served = state.turns;
        let held = state.holdings.entry(tenant).or_default();
        held.places += 1;
        held.is_trusted = is_trusted;
        held.last_served = last_served;
        Permit { places: self, tenant }
    }

    /// Takes a place for work that a person waits for. `None`: all are taken, or as many as this tenant may have.
    pub fn try_take(&self, tenant: T) -> Option<Permit<'_, T>> {
        let waiting = Waiting {
            tenant,
            work: 1,
            is_trusted: true,
        };
        (self.shares(&[waiting]) == [1]).then(|| self.take(tenant, true))
    }

    #[must_use]
    pub fn free(&self) -> usize {
        let taken: usize = self.state().holdings.values().map(|held| held.places).sum();
        self.capacity.saturating_sub(taken)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy + Eq + Hash> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        let mut state = self.places.state();
        if let Some(held) = state.holdings.get_mut(&self.tenant) {
            held.places = held.places.saturating_sub(1);
        }
        if state.holdings.len() > MAX_REMEMBERED {
            state.holdings.retain(|_, held| held.places > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holdings(held: &[(u32, usize, bool, u64)]) -> HashMap<u32, Holding> {
        let holding = |(tenant, places, is_trusted, last_served): &(u32, usize, bool, u64)| {
            let holding = Holding {
                places: *places,
                is_trusted: *is_trusted,
                last_served: *last_served,
            };
            (*tenant, holding)
        };
        held.iter().map(holding).collect()
    }

    fn waiting(tenants: &[(u32, usize, bool)]) -> Vec<Waiting<u32>> {
        let one = |(tenant, work, is_trusted): &(u32, usize, bool)| Waiting {
            tenant: *tenant,
            work: *work,
            is_trusted: *is_trusted,
        };
        tenants.iter().map(one).collect()
    }

    #[test]
    fn places_are_shared_by_organisation() {
        let fifty: Vec<_> = (1..=50).map(|tenant| (tenant, 4_000, false)).collect();
        let fifty_and_one: Vec<_> = fifty.iter().copied().chain([(99, 1, true)]).collect();
        let fifty_hold: Vec<_> = (1..=32).map(|tenant| (tenant, 1, false, 5)).collect();
        for (name, held, wanting, expected) in [
            ("one alone gets half", vec![], vec![(1, 100, true)], vec![32]),
            ("as much as it has", vec![], vec![(1, 3, true)], vec![3]),
            (
                "two get a third each",
                vec![],
                vec![(1, 100, true), (2, 100, true)],
                vec![22, 21],
            ),
            (
                "a quiet one is served beside a busy one",
                vec![(1, 32, true, 9)],
                vec![(1, 4_000, true), (2, 1, true)],
                vec![0, 1],
            ),
            (
                "organisations that nobody vouches for share half",
                vec![],
                fifty_and_one.clone(),
                (1..=50).map(|tenant| usize::from(tenant <= 32)).chain([1]).collect(),
            ),
            (
                "and a trusted one finds a place when they hold theirs",
                fifty_hold.clone(),
                fifty_and_one,
                std::iter::repeat_n(0, 50).chain([1]).collect(),
            ),
            (
                "of those that hold as much, the one that waited longest",
                vec![(1, 0, false, 8), (2, 0, false, 7), (3, 31, false, 1)],
                vec![(1, 9, false), (2, 9, false), (4, 9, false)],
                vec![0, 0, 1],
            ),
            ("none is left", vec![(1, 64, true, 1)], vec![(2, 1, true)], vec![0]),
            (
                "the last one",
                vec![(1, 63, true, 1)],
                vec![(1, 1, true), (2, 1, true)],
                vec![0, 1],
            ),
        ] {
            assert_eq!(share(64, &holdings(&held), &waiting(&wanting)), expected, "{name}");
        }
    }

    #[test]
    fn a_permit_is_given_back_and_the_turn_is_remembered() {
        let places = FairShare::new(4);
        let first = places.try_take(1).unwrap();
        let second = places.try_take(1).unwrap();
        assert!(places.try_take(1).is_none(), "half of the places");
        let other = places.try_take(2).unwrap();
        assert_eq!(places.free(), 1);
        drop((first, second, other));
        assert_eq!(places.free(), 4);
        let shares = places.shares(&waiting(&[(1, 1, true), (2, 1, true), (3, 1, true)]));
        assert_eq!(shares, [1, 1, 1]);
        let only_one = FairShare::new(1);
        drop(only_one.take(1, true));
        assert_eq!(only_one.shares(&waiting(&[(1, 1, true), (3, 1, true)])), [0, 1]);
    }
}
