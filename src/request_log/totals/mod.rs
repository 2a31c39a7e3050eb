//! Counts of a whole organisation and of each client, added up as requests are shipped: what plots are drawn from.
pub mod store;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::CountKey;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotalKey {
    pub organisation_id: Uuid,
    /// Nil: of the organisation as a whole.
    pub client_id: Uuid,
    pub hour: DateTime<Utc>,
    pub model_family: String,
    pub outcome: String,
}

/// What the counts of single domains come to. Those of strangers belong to nobody.
#[must_use]
pub fn of(counts: &HashMap<CountKey, i64>) -> HashMap<TotalKey, i64> {
    let mut totals = HashMap::new();
    for (key, count) in counts {
        let Some(organisation_id) = key.organisation_id else {
            continue;
        };
        for client_id in [Some(Uuid::nil()), key.client_id].into_iter().flatten() {
            let total = TotalKey {
                organisation_id,
                client_id,
                hour: key.hour,
                model_family: key.model_family.clone(),
                outcome: key.outcome.clone(),
            };
            *totals.entry(total).or_default() += count;
        }
    }
    totals
}

/// How long one step of a plot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Hour,
    Day,
}

impl Step {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Requests of one model family in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub at: DateTime<Utc>,
    pub model_family: String,
    pub count: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_counts_for_its_client_and_for_the_organisation_and_a_strangers_for_nobody() {
        let id = Uuid::from_u128;
        let key = |organisation_id, client_id, domain_id| CountKey {
            hour: DateTime::default(),
            organisation_id,
            client_id,
            domain_id: id(domain_id),
            hostname: String::new(),
            model_family: "Mac".into(),
            outcome: "served".into(),
        };
        let totals = of(&HashMap::from([
            (key(Some(id(1)), Some(id(2)), 10), 3),
            (key(Some(id(1)), Some(id(2)), 11), 4),
            (key(Some(id(1)), Some(id(3)), 12), 5),
            (key(None, None, 0), 100),
        ]));
        let mut found: Vec<_> = totals.iter().map(|(key, count)| (key.client_id, *count)).collect();
        found.sort();
        assert_eq!(found, [(Uuid::nil(), 12), (id(2), 7), (id(3), 5)]);
    }
}
