//! Places for orders: so many at once, and no more than its share for one organisation, so that nobody's slow name
//! servers keep somebody else's domains waiting.
use std::collections::HashMap;

use uuid::Uuid;

use crate::certificates::turns::Turn;

/// Orders at a CA at once.
const IN_ALL: usize = 96;
/// Of one organisation's.
const FOR_ONE: usize = 64;

/// What may be claimed beside what is held.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    pub limit: usize,
    /// Organisations whose domains have to wait.
    pub crowded: Vec<Uuid>,
}

pub fn room(held: &[Turn]) -> Room {
    let mut taken: HashMap<Uuid, usize> = HashMap::new();
    // Our own hosts are nobody's share.
    for organisation_id in held.iter().filter_map(|turn| turn.organisation_id) {
        *taken.entry(organisation_id).or_default() += 1;
    }
    let (crowded, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(_, taken)| *taken >= FOR_ONE);
    // Whoever has most may be given all of it.
    let most = others.iter().map(|(_, taken)| *taken).max().unwrap_or_default();
    Room {
        limit: IN_ALL.saturating_sub(held.len()).min(FOR_ONE - most),
        crowded: crowded
            .into_iter()
            .map(|(organisation_id, _)| organisation_id)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(taken: &[(Option<u128>, usize)]) -> Vec<Turn> {
        let of = |organisation: Option<u128>| Turn {
            hostname: "contoso.com".to_owned(),
            organisation_id: organisation.map(Uuid::from_u128),
            epoch: 1,
            attempts: 0,
            was_preflight: false,
            is_urgent: false,
            own: organisation.is_none(),
            is_eligible: true,
        };
        let turns = taken
            .iter()
            .map(|(organisation, count)| vec![of(*organisation); *count]);
        turns.flatten().collect()
    }

    #[test]
    fn an_organisation_has_its_share_and_the_rest_is_for_others() {
        let (a, b) = (Some(1), Some(2));
        for (taken, limit, crowded) in [
            (vec![], 64, None),
            (vec![(a, 63)], 1, None),
            (vec![(a, 64)], 32, a),
            (vec![(a, 64), (b, 20)], 12, a),
            (vec![(a, 64), (b, 32)], 0, a),
            (vec![(a, 40), (b, 50)], 6, None),
            // Nobody has a share in our own hosts.
            (vec![(None, 2)], 64, None),
            (vec![(None, 2), (a, 30)], 34, None),
            (vec![(None, 96)], 0, None),
        ] {
            let expected = Room {
                limit,
                crowded: crowded.map(Uuid::from_u128).into_iter().collect(),
            };
            assert_eq!(room(&held(&taken)), expected, "{taken:?}");
        }
    }
}
