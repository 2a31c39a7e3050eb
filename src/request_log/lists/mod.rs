//! Rows of the log, newest first, a page at a time: by the index of what the filter names, from the days that can hold
//! the page.
mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Filter, Request};
use crate::accounts::Scope;

/// Where a page lies.
struct Place {
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    before: Option<Uuid>,
    limit: i64,
}

/// Newest first, those before `before`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Request>, sqlx::Error> {
    let mut place = Place {
        since: filter.since,
        until: [filter.until, before.and_then(end_of)].into_iter().flatten().min(),
        before: [before, filter.until.and_then(id_after)].into_iter().flatten().min(),
        limit,
    };
    match (filter.domain_id, &filter.hostname) {
        (Some(domain_id), _) => return store::of_domain(db, scope, domain_id, filter, &place).await,
        (None, Some(hostname)) => return of_hostname(db, scope, hostname, filter, &place).await,
        (None, None) => {}
    }
    if filter.model_family.is_some() || filter.outcome.is_some() {
        // What is rare is not looked for in millions of rows in vain.
        let Some(hour) = store::first_hour(db, scope, filter).await? else {
            return Ok(Vec::new());
        };
        place.since = place.since.max(Some(hour));
    }
    match filter.client_id.or(scope.client_id()) {
        Some(client_id) => store::of_client(db, scope, client_id, filter, &place).await,
        None => store::of_organisation(db, scope, filter, &place).await,
    }
}

/// There is an index by domain and none by name. A name that was deleted and registered anew is several domains.
async fn of_hostname(
    db: &mut PgConnection,
    scope: &Scope,
    hostname: &str,
    filter: &Filter,
    place: &Place,
) -> Result<Vec<Request>, sqlx::Error> {
    let mut rows = Vec::new();
    for domain_id in store::domains_of(db, scope, hostname).await? {
        rows.extend(store::of_domain(db, scope, domain_id, filter, place).await?);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    rows.truncate(usize::try_from(place.limit).unwrap_or(usize::MAX));
    Ok(rows)
}

/// No row before this time has this id or a later one: without it, the index of a day would be read from that day's end.
/// An hour more, as ids of earlier versions were in the order in which rows were shipped.
fn id_after(until: DateTime<Utc>) -> Option<Uuid> {
    let after = until.checked_add_signed(TimeDelta::hours(1))?.timestamp_millis();
    let after = u64::try_from(after).ok().filter(|millis| *millis < 1 << 48)?;
    Some(uuid::Builder::from_unix_timestamp_millis(after, &[0; 10]).into_uuid())
}

/// No row before this id is from this time or later: ids are made of times, and where these ran backwards an id is later
/// than its row. So the partitions after it need not be looked into.
fn end_of(before: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = before.get_timestamp()?.to_unix();
    let at = DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)?;
    Some(at + TimeDelta::milliseconds(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_ends_at_a_time_begins_behind_every_id_of_a_row_before_it() {
        let until = DateTime::from_timestamp(1_795_418_356, 0).unwrap();
        let after = id_after(until).unwrap();
        let row = crate::request_log::batch::request_id(until.timestamp_micros() - 1);
        assert!(row < after, "{row} {after}");
        let (seconds, _) = after.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds, 1_795_418_356 + 3600);
        for far in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            assert_eq!(id_after(far), None, "no id is so far away");
        }
    }

    #[test]
    fn a_page_lies_before_the_time_that_its_cursor_tells() {
        let at = |id: &str| end_of(id.parse().expect("an id")).map(|at| at.to_rfc3339());
        assert_eq!(
            at("019ab000-0000-7000-8000-000000000000").as_deref(),
            Some("2025-11-23T09:16:21.378+00:00")
        );
        assert_eq!(at("019ab000-0000-4000-8000-000000000000"), None, "tells none");
    }
}
