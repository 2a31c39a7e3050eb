//! Counts by what they are grouped by: of single domains if the domain is asked for, of totals else. These are few, however
//! many domains there are.
mod store;

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Group, SummaryRow};
use crate::accounts::Scope;

/// Counts of the hours from `since` to `until`, grouped and ordered by `groups`.
pub async fn summarise(
    db: &mut PgConnection,
    scope: &Scope,
    groups: &[Group],
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<SummaryRow>, sqlx::Error> {
    let mut rows = match groups.contains(&Group::Domain) {
        true => store::of_domains(db, scope, groups, (since, until)).await?,
        false => store::of_totals(db, scope, groups, (since, until)).await?,
    };
    rows.sort_by(|a, b| {
        groups
            .iter()
            .map(|group| group.compare(a, b))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    Ok(rows)
}

/// The step of time that is grouped by.
fn step(groups: &[Group]) -> Option<&'static str> {
    match groups.iter().find(|group| matches!(group, Group::Hour | Group::Day)) {
        Some(Group::Hour) => Some("hour"),
        Some(_) => Some("day"),
        None => None,
    }
}
