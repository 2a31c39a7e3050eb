//! What one transaction writes: rows, and their counts.
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::{ContextV7, Timestamp, Uuid};

use super::{partitions, record::Row, store};

/// What one transaction writes.
#[derive(Default)]
pub struct Batch {
    pub rows: Vec<(Uuid, Row<'static>)>,
    pub counts: HashMap<CountKey, i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CountKey {
    pub hour: DateTime<Utc>,
    pub organisation_id: Option<Uuid>,
    pub client_id: Option<Uuid>,
    /// Nil for domains unknown to us.
    pub domain_id: Uuid,
    pub hostname: String,
    pub model_family: String,
    pub outcome: String,
}

impl Batch {
    pub(super) fn add(&mut self, request_id: Uuid, row: Row<'static>) {
        *self.counts.entry(CountKey::of(&row)).or_default() += 1;
        self.rows.push((request_id, row));
    }

    /// A row and its count, of a time that is over.
    pub fn add_past(&mut self, row: Row<'static>) {
        self.add(request_id(row.at), row);
    }

    /// Rows and counts, in the caller's transaction.
    pub async fn write(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        for day in self.days() {
            partitions::store::ensure(db, day).await?;
        }
        store::insert_requests(db, &self.rows).await?;
        store::add_counts(db, &self.counts).await
    }

    /// When each domain was asked for first.
    pub(super) fn firsts(&self) -> BTreeMap<Uuid, DateTime<Utc>> {
        let mut firsts = BTreeMap::new();
        for (_, row) in &self.rows {
            if let Some(owner) = row.owner {
                let at = time(row.at);
                let first = firsts.entry(owner.domain_id).or_insert(at);
                *first = at.min(*first);
            }
        }
        firsts
    }

    fn days(&self) -> HashSet<NaiveDate> {
        self.rows.iter().map(|(_, row)| time(row.at).date_naive()).collect()
    }
}

impl CountKey {
    fn of(row: &Row<'_>) -> Self {
        Self {
            hour: hour(row.at),
            organisation_id: row.owner.map(|owner| owner.organisation_id),
            client_id: row.owner.map(|owner| owner.client_id),
            domain_id: row.owner.map_or(Uuid::nil(), |owner| owner.domain_id),
            hostname: row.hostname.clone().into_owned(),
            model_family: row.model_family.clone().into_owned(),
            outcome: row.outcome.clone().into_owned(),
        }
    }

    pub(super) fn of_strangers(at: i64, model_family: String) -> Self {
        Self {
            hour: hour(at),
            organisation_id: None,
            client_id: None,
            domain_id: Uuid::nil(),
            hostname: String::new(),
            model_family,
            outcome: "unknown_domain".to_owned(),
        }
    }
}

/// From microseconds.
#[must_use]
pub fn time(at: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or_default()
}

fn hour(at: i64) -> DateTime<Utc> {
    let at = time(at);
    at - TimeDelta::seconds(at.timestamp() % 3600) - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()))
}

/// Ordered by the time of the request, to less than a microsecond: several workers' requests are shipped one segment
/// after the other, and not as they came. A context that is kept would let no id be less than the one before.
pub(super) fn request_id(at: i64) -> Uuid {
    let at = time(at);
    let context = ContextV7::new().with_additional_precision();
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(&context, seconds, at.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_the_requests_whenever_they_are_shipped() {
        let at = 1_795_418_356_123_456;
        let later: Vec<_> = [at + 1, at + 2, at + 999, at + 86_400_000_000].map(request_id).into();
        let earlier = [at - 86_400_000_000, at - 1, at].map(request_id);
        let all = [&earlier[..], &later].concat();
        assert!(all.is_sorted(), "{all:?}");
        assert_ne!(request_id(at), request_id(at));
    }

    #[test]
    fn counts_are_kept_by_the_hour() {
        assert_eq!(hour(1_795_418_356_123_456).to_rfc3339(), "2026-11-23T07:00:00+00:00");
    }
}
