//! A month of requests as they could have been: by day people are at work, on some evenings they are not. Made of the
//! names and the hours alone, so that two demos that start at the same time have the same.
use std::net::Ipv4Addr;

use chrono::{DateTime, Datelike, DurationRound, TimeDelta, Timelike, Utc, Weekday};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{examples::Example, store};
use crate::{
    accounts::Scope,
    clock::DatabaseTime,
    domains::{
        Domain,
        policy::{Action, Family, Rule},
    },
    request_log::{
        batch::Batch,
        record::{Network, Owner, Row},
    },
};

const DAYS: i64 = 30;
/// How many people of a domain have devices.
const PEOPLE: u64 = 40;

/// Networks of nobody's (RFC 5737): what is made up is known by them.
const NETWORKS: [Network; 3] = [
    Network::V4(Ipv4Addr::new(192, 0, 2, 0)),
    Network::V4(Ipv4Addr::new(198, 51, 100, 0)),
    Network::V4(Ipv4Addr::new(203, 0, 113, 0)),
];

/// What is missing of the month: all of it, or what would have come since the demo was started last. That goes to the last
/// full hour, so that a start right after another adds nothing.
pub async fn write(
    db: &mut PgConnection,
    scope: &Scope,
    example: &Example,
    domain: &Domain,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let last = store::find_last_request(
        db,
        scope,
        example.hostname,
        &NETWORKS.map(|network| network.to_string()),
    )
    .await?;
    let is_missing = |at: DateTime<Utc>| {
        last.is_none_or(|last| at > last && at < now.get().duration_trunc(TimeDelta::hours(1)).unwrap_or(now.get()))
    };
    let owner = Owner {
        organisation_id: scope.organisation_id(),
        client_id: domain.client_id,
        domain_id: domain.id,
    };
    let mut batch = Batch::default();
    rows(example, domain, owner, now.get())
        .into_iter()
        .filter(|row| DateTime::from_timestamp_micros(row.at).is_some_and(is_missing))
        .for_each(|row| batch.add_past(row));
    batch.write(db).await
}

fn rows(example: &Example, domain: &Domain, owner: Owner, now: DateTime<Utc>) -> Vec<Row<'static>> {
    let Some(until) = example.asked_until(now) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    let mut chance = Chance::of(example.hostname);
    let first = (now - TimeDelta::days(DAYS - 1))
        .date_naive()
        .and_time(chrono::NaiveTime::MIN)
        .and_utc();
    let mut hour = first;
    while hour <= now {
        let expected = f64::from(example.requests) * share(hour);
        for _ in 0..chance.about(expected) {
            let at = hour + TimeDelta::milliseconds(i64::try_from(chance.below(3_600_000)).unwrap_or_default());
            let row = row(domain, owner, at, &mut chance);
            rows.extend((at < until).then_some(row));
        }
        hour += TimeDelta::hours(1);
    }
    rows.sort_by_key(|row| row.at);
    rows
}

/// The part of a working day's requests that comes in this hour.
fn share(hour: DateTime<Utc>) -> f64 {
    let of_day = match hour.hour() {
        8..=10 => 0.12,
        7 | 11..=15 => 0.075,
        16 | 17 => 0.05,
        5 | 6 | 18..=20 => 0.02,
        _ => 0.003,
    };
    match hour.weekday() {
        Weekday::Sat => of_day * 0.2,
        Weekday::Sun => of_day * 0.12,
        Weekday::Mon => of_day * 1.3,
        _ => of_day,
    }
}

fn row(domain: &Domain, owner: Owner, at: DateTime<Utc>, chance: &mut Chance) -> Row<'static> {
    let (family, agent, model) = match chance.below(100) {
        0..46 => (Some(Family::IPhone), "iPhone", "iPhone"),
        46..69 => (Some(Family::IPad), "iPad", "iPad"),
        69..90 => (Some(Family::Mac), "Mac", "Mac"),
        90..93 => (Some(Family::RealityDevice), "Vision", "RealityDevice"),
        93..95 => (Some(Family::AppleTv), "AppleTV", "AppleTV"),
        95..97 => (Some(Family::Watch), "Watch", "Watch"),
        _ => (None, "unknown", "none"),
    };
    let person = chance.below(PEOPLE);
    // One in twenty is an address that a rule by users is for.
    let is_special = person < PEOPLE / 20;
    let action = domain
        .policy
        .rules
        .iter()
        .find(|rule| matches(rule, family, is_special))
        .map_or(&domain.policy.default, |rule| &rule.then);
    let (outcome, status, server_id) = match action {
        Action::Serve { server_id } => ("served", 200, Some(*server_id)),
        Action::Reject { .. } => ("rejected", 403, None),
        Action::Defer {} => ("deferred", 404, None),
        Action::Redirect { .. } => ("redirected", 307, None),
    };
    Row {
        at: at.timestamp_micros(),
        owner: Some(owner),
        hostname: domain.hostname.clone().into(),
        model_family: model.into(),
        user: Some(digest(domain.id, person)),
        outcome: outcome.into(),
        status,
        server_id,
        user_agent: Some(format!("DeviceManagementClient/1.0 ({agent})").into()),
        client_network: NETWORKS[usize::try_from(person % 3).unwrap_or_default()],
        tls: Some("TLSv1.3".into()),
    }
}

fn matches(rule: &Rule, family: Option<Family>, is_special: bool) -> bool {
    let families = &rule.when.model_families;
    let is_family = families.is_empty() || family.is_some_and(|family| families.contains(&family));
    is_family && (rule.when.users.is_empty() || is_special)
}

fn digest(domain_id: Uuid, person: u64) -> [u8; 16] {
    let mut chance = Chance::of(&format!("{domain_id} {person}"));
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&chance.next().to_be_bytes());
    digest[8..].copy_from_slice(&chance.next().to_be_bytes());
    digest
}

/// `SplitMix64` (Steele, Lea, Flood 2014): the same numbers for the same name.
struct Chance(u64);

impl Chance {
    fn of(name: &str) -> Self {
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A whole number around `expected`.
    fn about(&mut self, expected: f64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
        let thousandths = (expected * 1_000.0 * 1.6) as u64;
        let some = self.below(thousandths.max(1)) + thousandths / 8;
        some / 1_000 + u64::from(self.below(1_000) < some % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::demo::examples::EXAMPLES;

    #[test]
    fn people_ask_by_day_and_on_working_days() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let (monday, night, sunday) = (
            share(at("2026-11-23T09:00:00Z")),
            share(at("2026-11-23T02:00:00Z")),
            share(at("2026-11-22T09:00:00Z")),
        );
        assert!(monday > sunday && sunday > night);
        let hours: Vec<_> = (0..24)
            .map(|hour| at("2026-11-24T00:00:00Z") + TimeDelta::hours(hour))
            .collect();
        let day: f64 = hours.into_iter().map(share).sum();
        assert!((0.8..1.3).contains(&day), "{day}");
    }

    #[test]
    fn chance_is_the_same_for_the_same_name() {
        let some = |name: &str| {
            let mut chance = Chance::of(name);
            (0..50).map(|_| chance.about(3.0)).collect::<Vec<_>>()
        };
        assert_eq!(some("a"), some("a"));
        assert_ne!(some("a"), some("b"));
        let sum: u64 = some("a").iter().sum();
        assert!((90..210).contains(&sum), "{sum}");
        let names: HashSet<_> = EXAMPLES.iter().map(|example| example.hostname).collect();
        assert_eq!(names.len(), 8);
    }
}
