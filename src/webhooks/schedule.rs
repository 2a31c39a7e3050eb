//! When a delivery that failed is tried again, when an endpoint is given up, and how many are under way. Pure.
use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Between attempts, as Standard Webhooks 1.0 proposes: about three days in all.
const WAITS: [TimeDelta; 9] = [
    TimeDelta::seconds(5),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(5),
    TimeDelta::hours(10),
    TimeDelta::hours(14),
    TimeDelta::hours(20),
    TimeDelta::hours(24),
];
/// As long as a receiver may put us off: the longest of our own waits.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// An endpoint at which nothing has arrived for so long is disabled.
const PATIENCE: TimeDelta = TimeDelta::days(5);

/// On this node, on their way at once.
const IN_ALL: usize = 64;
/// An organisation that has so many under way waits with others.
const FOR_ONE: usize = 16;

/// What is known when an attempt has failed.
pub struct Failed {
    pub delivery_id: Uuid,
    /// With this one.
    pub attempts: i32,
    /// Since when all of the endpoint's attempts have failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// How long the receiver asked us to wait, if it did.
    pub asked_to_wait: Option<TimeDelta>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    At(DateTime<Utc>),
    /// This delivery has had its attempts.
    GiveUp,
    /// So has the endpoint.
    Disable,
}

#[must_use]
pub fn after(failed: &Failed, now: DateTime<Utc>) -> Next {
    if failed.failing_since.is_some_and(|since| now - since >= PATIENCE) {
        return Next::Disable;
    }
    let wait = usize::try_from(failed.attempts - 1)
        .ok()
        .and_then(|index| WAITS.get(index));
    match wait {
        None => Next::GiveUp,
        Some(wait) => {
            // Never sooner than we would by ourselves, and never so late that it could not be called an attempt.
            let wait = failed
                .asked_to_wait
                .map_or(*wait, |asked| asked.min(LONGEST).max(*wait));
            Next::At(now + wait + jitter(wait, failed.delivery_id))
        }
    }
}

/// Up to a tenth: what failed together does not come together again.
fn jitter(wait: TimeDelta, delivery_id: Uuid) -> TimeDelta {
    let last = i32::from(delivery_id.as_bytes()[15]);
    wait * last / 2560
}

/// One under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    pub organisation_id: Uuid,
    /// Of the claim.
    pub epoch: i64,
}

/// What may be claimed beside what is held.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    pub limit: usize,
    /// Endpoints that are busy: a slow one holds up its own deliveries only.
    pub busy: Vec<Uuid>,
    /// Organisations that have their share.
    pub crowded: Vec<Uuid>,
}

#[must_use]
pub fn room(held: &[Held]) -> Room {
    let mut shares: HashMap<Uuid, usize> = HashMap::new();
    let mut busy: Vec<_> = held.iter().map(|held| held.endpoint_id).collect();
    busy.sort_unstable();
    busy.dedup();
    for held in held {
        *shares.entry(held.organisation_id).or_default() += 1;
    }
    shares.retain(|_, share| *share >= FOR_ONE);
    Room {
        limit: IN_ALL.saturating_sub(held.len()),
        busy,
        crowded: shares.into_keys().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(attempts: i32, failing_since: Option<DateTime<Utc>>) -> Failed {
        Failed {
            delivery_id: Uuid::from_u128(128),
            attempts,
            failing_since,
            asked_to_wait: None,
        }
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_within_bounds() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let wait = |attempts, asked| {
            let failed = Failed {
                asked_to_wait: asked,
                delivery_id: Uuid::nil(),
                ..failed(attempts, None)
            };
            match after(&failed, now) {
                Next::At(at) => at - now,
                other => panic!("{other:?}"),
            }
        };
        let hour = Some(TimeDelta::hours(1));
        assert_eq!(wait(1, hour), TimeDelta::hours(1));
        assert_eq!(wait(1, Some(TimeDelta::zero())), TimeDelta::seconds(5), "no sooner");
        assert_eq!(wait(5, hour), TimeDelta::hours(5), "no sooner");
        assert_eq!(wait(1, Some(TimeDelta::days(31))), TimeDelta::hours(24), "no later");
        let last = Failed {
            asked_to_wait: hour,
            ..failed(10, None)
        };
        assert_eq!(after(&last, now), Next::GiveUp, "no more attempts by it");
    }

    #[test]
    fn a_delivery_is_tried_ten_times_in_about_three_days() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let mut waits = Vec::new();
        let mut attempts = 1;
        while let Next::At(at) = after(&failed(attempts, None), now) {
            waits.push(at - now);
            attempts += 1;
        }
        assert_eq!(attempts, 10);
        assert_eq!(after(&failed(10, None), now), Next::GiveUp);
        assert_eq!(waits[0], TimeDelta::milliseconds(5250));
        assert!(waits.is_sorted());
        let all: TimeDelta = waits.into_iter().sum();
        assert!((75..85).contains(&all.num_hours()), "{all}");
    }

    #[test]
    fn an_endpoint_that_fails_for_five_days_is_disabled() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let since = |ago| Some(now - ago);
        let nearly = TimeDelta::days(5) - TimeDelta::seconds(1);
        assert!(matches!(after(&failed(1, since(nearly)), now), Next::At(_)));
        for attempts in [1, 10] {
            assert_eq!(after(&failed(attempts, since(TimeDelta::days(5))), now), Next::Disable);
        }
    }

    #[test]
    fn a_slow_endpoint_and_a_crowded_organisation_leave_room_for_others() {
        let held = |organisation: u128, endpoint: u128| Held {
            delivery_id: Uuid::nil(),
            endpoint_id: Uuid::from_u128(endpoint),
            organisation_id: Uuid::from_u128(organisation),
            epoch: 1,
        };
        assert_eq!(
            room(&[]),
            Room {
                limit: 64,
                busy: vec![],
                crowded: vec![]
            }
        );
        let many: Vec<_> = (0..16).map(|n| held(1, n % 4)).chain([held(2, 9)]).collect();
        let room = room(&many);
        assert_eq!((room.limit, room.busy.len()), (47, 5));
        assert_eq!(room.crowded, [Uuid::from_u128(1)]);
    }
}
