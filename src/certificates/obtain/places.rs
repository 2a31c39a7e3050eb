//! Places for orders, shared by organisation, so that slow name servers of one keep no other's domains waiting.
use std::collections::HashMap;

use uuid::Uuid;

use crate::{certificates::turns::Turn, work::fair::may_take};

/// Orders of a node at a CA at once.
const MAX_ORDERS: usize = 96;

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
    let crowded = taken
        .into_iter()
        .filter(|(_, own)| !may_take(MAX_ORDERS, held.len(), *own));
    let free = MAX_ORDERS.saturating_sub(held.len());
    Room {
        // All that is claimed at once may be one organisation's: half of what is free, and the rest is for others.
        limit: free.div_ceil(2),
        crowded: crowded.map(|(organisation_id, _)| organisation_id).collect(),
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
            (vec![], 48, None),
            (vec![(a, 47)], 25, None),
            (vec![(a, 48)], 24, a),
            (vec![(a, 60)], 18, a),
            (vec![(a, 48), (b, 20)], 14, a),
            (vec![(a, 40), (b, 20)], 18, a),
            (vec![(a, 20), (b, 20)], 28, None),
            (vec![(a, 96)], 0, a),
            // Nobody has a share in our own hosts.
            (vec![(None, 2)], 47, None),
            (vec![(None, 2), (a, 30)], 32, None),
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
