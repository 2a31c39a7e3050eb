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
        before,
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
    fn a_page_lies_before_the_time_that_its_cursor_tells() {
        let at = |id: &str| end_of(id.parse().expect("an id")).map(|at| at.to_rfc3339());
        assert_eq!(
            at("019ab000-0000-7000-8000-000000000000").as_deref(),
            Some("2025-11-23T09:16:21.378+00:00")
        );
        assert_eq!(at("019ab000-0000-4000-8000-000000000000"), None, "tells none");
    }
}
