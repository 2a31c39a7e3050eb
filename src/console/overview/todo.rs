//! What needs doing, and by whom.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::{Scope, clients},
    clock::DatabaseTime,
    console::{fault::Fault, page, statuses},
    domains::{
        self, Domain,
        connection::Expected,
        next_action::{NextAction, Who, next_action},
        standing::Standing,
        status::{Status, status},
    },
};

pub struct Todo {
    pub hostname: String,
    pub class: &'static str,
    pub status: &'static str,
    pub message: String,
    pub who: String,
    pub since: String,
}

/// Of the domains that `standing` names, those that still wait for somebody.
pub async fn find(
    db: &mut PgConnection,
    scope: &Scope,
    standing: &Standing,
    expected: &Expected,
    now: DatabaseTime,
) -> Result<Vec<Todo>, Fault> {
    if standing.named.is_empty() {
        return Ok(Vec::new());
    }
    let mut domains = domains::store::list(db, scope, &standing.named).await?;
    domains.sort_by_key(|domain| standing.named.iter().position(|id| *id == domain.id));
    let client_ids: Vec<Uuid> = domains.iter().map(|domain| domain.client_id).collect();
    let names = clients::store::names(db, scope, &client_ids).await?;
    let todo = domains.iter().filter_map(|domain| {
        let action = next_action(domain, expected, now.get())?;
        let client = names.get(&domain.client_id).map_or("the client", String::as_str);
        let (class, word) = statuses::words(status(domain, expected, now.get()));
        Some(Todo {
            hostname: domain.hostname.clone(),
            class,
            status: word,
            who: who(&action, client)?,
            message: action.message,
            since: page::age(now - since(domain, expected, now.get())),
        })
    });
    Ok(todo.collect())
}

/// `None`: nobody but ourselves.
fn who(action: &NextAction, client: &str) -> Option<String> {
    match (action.who, action.code) {
        (Who::Signpost, _) => None,
        (Who::Msp, _) => Some("You".to_owned()),
        (Who::Client, "fix_website") => Some(format!("Who keeps {client}’s web server")),
        (Who::Client, _) => Some(format!("{client}’s DNS admin")),
    }
}

/// Since when it has been so, as far as is known.
fn since(domain: &Domain, expected: &Expected, now: DateTime<Utc>) -> DateTime<Utc> {
    let verified_at = domain.claim.verification.map(|verification| verification.at);
    let known = match status(domain, expected, now) {
        Status::Suspended => domain.suspended_at,
        Status::Attention => domain.claim.proof.missing_since.or(domain.seen.connected_at),
        Status::PendingDns | Status::PendingCertificate => verified_at,
        Status::PendingOwnership | Status::Active => None,
    };
    known.unwrap_or(domain.created_at)
}
