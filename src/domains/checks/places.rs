//! Places for work that waits on strangers' servers: so many in all, and no more than its share for one
//! organisation, so that nobody's slow servers hold up somebody else's domains.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

pub struct Places {
    for_one: usize,
    in_all: usize,
    /// By organisation.
    taken: Mutex<HashMap<Uuid, usize>>,
}

/// One that is taken, until it is dropped.
pub struct Place<'a> {
    places: &'a Places,
    organisation_id: Uuid,
}

impl Places {
    #[must_use]
    pub fn new(for_one: usize, in_all: usize) -> Self {
        Self {
            for_one,
            in_all,
            taken: Mutex::default(),
        }
    }

    /// `None`: all are taken, or all of this organisation's.
    pub fn enter(&self, organisation_id: Uuid) -> Option<Place<'_>> {
        let mut taken = self.taken();
        let own = taken.get(&organisation_id).copied().unwrap_or_default();
        if own >= self.for_one || taken.values().sum::<usize>() >= self.in_all {
            return None;
        }
        taken.insert(organisation_id, own + 1);
        Some(Place {
            places: self,
            organisation_id,
        })
    }

    #[must_use]
    pub fn free(&self) -> usize {
        self.in_all - self.taken().values().sum::<usize>()
    }

    /// Organisations that have fewer than `wanted` places left.
    #[must_use]
    pub fn crowded(&self, wanted: usize) -> Vec<Uuid> {
        let taken = self.taken();
        let crowded = taken.iter().filter(|(_, own)| **own + wanted > self.for_one);
        crowded.map(|(organisation_id, _)| *organisation_id).collect()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.organisation_id) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.organisation_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_one_organisation_s_and_a_few_more_everybody_s() {
        let places = Places::new(4, 16);
        let ids: Vec<_> = (0..5).map(|_| Uuid::now_v7()).collect();
        let mut first: Vec<_> = (0..4).map(|_| places.enter(ids[0]).unwrap()).collect();
        assert!(places.enter(ids[0]).is_none());
        first.pop();
        assert!(places.crowded(1).is_empty());
        assert_eq!(places.crowded(2), [ids[0]]);
        first.push(places.enter(ids[0]).unwrap());
        let others: Vec<_> = ids[1..4]
            .iter()
            .flat_map(|id| [id; 4])
            .map(|id| places.enter(*id).unwrap())
            .collect();
        assert_eq!((first.len() + others.len(), places.free()), (16, 0));
        assert!(places.enter(ids[4]).is_none());
        drop((first, others));
        assert_eq!(places.free(), 16);
        assert!(places.taken().is_empty());
    }
}
