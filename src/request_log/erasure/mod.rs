//! Takes out of the request log what is to be forgotten: what one person asked, and all of a client or an organisation
//! that is no more. In small transactions, each of which leaves something that can be gone on from; and again for as long
//! as a spool that was away may bring more.
pub mod gone;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::deletion::Deletion;
use crate::{
    accounts::{
        Scope,
        organisations::{self, OrganisationError},
    },
    audit,
    clock::DatabaseTime,
    discovery::{directory::Organisation, query::MAX_USER},
    sealed::Keyring,
};

/// Longer than any organisation keeps its requests: what a spool brings later is in a day that is dropped.
const REMEMBERED: TimeDelta = TimeDelta::days(31);

/// That a person's requests are erased.
#[derive(Clone, Debug)]
pub struct Erasure {
    pub id: Uuid,
    pub requested_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    pub erased_rows: i64,
}

/// What a device sent for `user-identifier`, as it was: only its case does not count.
pub struct Identifier(Vec<u8>);

impl Identifier {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match text.len() {
            0 => Err("is needed"),
            1..=MAX_USER => Ok(Self(text.to_ascii_lowercase().into_bytes())),
            _ => Err("is longer than any that devices send"),
        }
    }
}

/// Has all requests of this person that came before `now` erased. Who it is is written down nowhere.
pub async fn request(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    identifier: &Identifier,
    now: DatabaseTime,
) -> Result<Erasure, OrganisationError> {
    let organisation_id = scope.organisation_id();
    let key = organisations::digest_key(db, keyring, scope).await?;
    let digest = Organisation::new(organisation_id, &key).digest(&identifier.0);
    let erasure = store::insert(db, scope, &digest, now).await?;
    let event = audit::Event {
        action: "requests.erased",
        subject: audit::Subject {
            kind: "erasure",
            id: erasure.id,
            name: "one person's requests".to_owned(),
        },
        client_id: scope.client_id(),
        details: json!({}),
    };
    audit::record(db, scope, event).await?;
    Ok(erasure)
}

/// Erases what is asked for, and forgets what can't come back. Several nodes may do it at once. Returns rows.
pub async fn run(pool: &PgPool, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let mut erased = 0;
    store::note_known(&mut *pool.acquire().await?).await?;
    let open = store::list_open(&mut *pool.acquire().await?).await?;
    for person in open {
        // Looked at first: who ships after that knows of the erasure.
        let is_known_to_all = store::is_known_to_all(&mut *pool.acquire().await?, person.erasure_id).await?;
        for (from, until) in days(&mut *pool.acquire().await?, person.requested_at).await? {
            erased += Deletion::Person(&person, (from, until)).delete(pool).await?;
        }
        if is_known_to_all {
            store::complete(&mut *pool.acquire().await?, person.erasure_id, now).await?;
        }
    }
    store::delete_before(&mut *pool.acquire().await?, now - REMEMBERED).await?;
    Ok(erased)
}

/// Of each day that there are requests of, up to the moment.
async fn days(db: &mut PgConnection, until: DateTime<Utc>) -> Result<Vec<(DateTime<Utc>, DateTime<Utc>)>, sqlx::Error> {
    let Some(first) = store::first_day(db).await? else {
        return Ok(Vec::new());
    };
    let start = |day: chrono::NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
    let days = first.iter_days().take_while(|day| start(*day) < until);
    Ok(days
        .map(|day| (start(day), (start(day) + TimeDelta::days(1)).min(until)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_found_by_what_the_device_sent_without_regard_to_case() {
        let parsed = |text| Identifier::parse(text).map(|identifier| identifier.0);
        assert_eq!(parsed(" Ada@Contoso.com\n"), Ok(b"ada@contoso.com".to_vec()));
        assert_eq!(parsed(" "), Err("is needed"));
        assert!(parsed(&"a".repeat(MAX_USER + 1)).is_err());
    }
}
