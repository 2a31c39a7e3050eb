//! Who changed what: one row per change, written in the transaction that makes it.
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::{Member, Scope, people, token::ApiToken},
    sealed::Keyring,
};

/// A change to be written down. `details` holds no secret and no personal data.
pub struct Event {
    /// `<noun>.<what happened>`, for example `domain.created`.
    pub action: &'static str,
    pub subject: Subject,
    /// The client it concerns, so that one who is limited to a client sees no other's.
    pub client_id: Option<Uuid>,
    pub details: serde_json::Value,
}

impl Event {
    /// What a person changes of the own account. Names are personal data: who it was is looked up where it is shown.
    #[must_use]
    pub fn of_member(member: &Member, action: &'static str) -> Self {
        Self::of_person(member.user_id, action)
    }

    /// The same for somebody who is not signed in.
    #[must_use]
    pub fn of_person(user_id: Uuid, action: &'static str) -> Self {
        Self {
            action,
            subject: Subject {
                kind: "member",
                id: user_id,
                name: "member".to_owned(),
            },
            client_id: None,
            details: serde_json::json!({}),
        }
    }
}

/// What was changed, with the name it had.
pub struct Subject {
    pub kind: &'static str,
    pub id: Uuid,
    pub name: String,
}

impl Subject {
    #[must_use]
    pub fn token(token: &ApiToken) -> Self {
        Self {
            kind: "token",
            id: token.id,
            name: token.name.clone(),
        }
    }
}

/// A change as it was written down.
#[derive(Debug)]
pub struct AuditEvent {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor_kind: String,
    pub actor_id: Option<Uuid>,
    pub actor_name: String,
    pub action: String,
    pub subject_kind: String,
    pub subject_id: Uuid,
    pub subject_name: String,
    pub details: serde_json::Value,
}

/// Writes `event` down as done by the one who holds `scope`.
pub async fn record(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    store::insert(db, scope, event).await
}

/// The same for a change after which there is no organisation to write it down for.
pub async fn record_for_operators(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    store::insert_of_nobody(db, scope, event).await
}

/// Which events of an organisation are looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `domain.created`, or `domain` for everything about domains.
    pub action: Option<String>,
    pub actor: Option<WantedActor>,
    /// What was done to one domain, and to its share links.
    pub domain: Option<WantedDomain>,
    /// From this time on.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedDomain {
    Id(Uuid),
    /// By the name that it had.
    Hostname(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedActor {
    /// A member, or a token.
    Id(Uuid),
    /// One that has no id.
    Kind(&'static str),
}

impl WantedActor {
    /// An id, `operator` or `signpost`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let kind = ["operator", "signpost"].into_iter().find(|kind| *kind == text);
        kind.map(Self::Kind).or_else(|| text.parse().ok().map(Self::Id))
    }
}

/// Events, and where the next page begins.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<AuditEvent>,
    /// For the page after it, if there may be one. A page that has examined many events ends early: then it holds fewer
    /// than fit.
    pub next: Option<Uuid>,
}

/// The newest `limit` before `before`. Members are called by the names that they have now: none is written down.
pub async fn list(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    wanted: &Wanted,
    (before, limit): (Option<Uuid>, usize),
) -> Result<Page, sqlx::Error> {
    let place = store::Place {
        before: before.unwrap_or(Uuid::max()),
        limit: i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
    };
    let store::Walked { mut events, end } = store::list(db, scope, wanted, &place).await?;
    let has_more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().map(|event| event.id).filter(|_| has_more).or(end);
    let actors = events
        .iter()
        .filter(|event| event.actor_kind == "member")
        .filter_map(|event| event.actor_id);
    let subjects = events
        .iter()
        .filter(|event| event.subject_kind == "member")
        .map(|event| event.subject_id);
    let mut user_ids: Vec<_> = actors.chain(subjects).collect();
    user_ids.sort_unstable();
    user_ids.dedup();
    let names = people::names(db, keyring, scope, &user_ids).await?;
    let name = |id: &Uuid| names.get(id).cloned().unwrap_or_else(|| FORMER.to_owned());
    for event in &mut events {
        if let ("member", Some(id)) = (event.actor_kind.as_str(), &event.actor_id) {
            event.actor_name = name(id);
        }
        if event.subject_kind == "member" {
            event.subject_name = name(&event.subject_id);
        }
    }
    Ok(Page { events, next })
}

/// Somebody who is no member any more.
const FORMER: &str = "a former member";
