//! What an organisation's own people change of it: its name, how long it keeps what, and whether it is there at all.
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{OrganisationError, store};
use crate::{
    accounts::{
        Operator, Scope,
        members::{self, MemberError},
        people,
        role::Role,
    },
    audit,
    input::Name,
};

/// Days. What is older goes with its partition.
pub const MAX_REQUEST_DAYS: i32 = 30;
/// Whoever did something is not to wipe it away next day.
pub const AUDIT_DAYS: std::ops::RangeInclusive<i32> = 30..=3650;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganisationSettings {
    pub name: Name,
    pub retention: Retention,
}

/// Days for which is kept what devices asked, and who changed what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    request_days: i32,
    audit_days: i32,
}

impl Retention {
    /// Of requests, as it is typed.
    pub fn parse_request_days(text: &str) -> Result<i32, &'static str> {
        Self::check_request_days(typed(text))
    }

    /// Of audit events, as it is typed.
    pub fn parse_audit_days(text: &str) -> Result<i32, &'static str> {
        Self::check_audit_days(typed(text))
    }

    pub fn check_request_days(days: i64) -> Result<i32, &'static str> {
        let days = i32::try_from(days).ok();
        days.filter(|days| (1..=MAX_REQUEST_DAYS).contains(days))
            .ok_or("must be a number from 1 to 30")
    }

    pub fn check_audit_days(days: i64) -> Result<i32, &'static str> {
        let days = i32::try_from(days).ok();
        days.filter(|days| AUDIT_DAYS.contains(days))
            .ok_or("must be a number from 30 to 3650")
    }

    /// Of days that are parsed, or stored.
    #[must_use]
    pub fn of(request_days: i32, audit_days: i32) -> Self {
        Self {
            request_days,
            audit_days,
        }
    }

    #[must_use]
    pub fn request_days(self) -> i32 {
        self.request_days
    }

    #[must_use]
    pub fn audit_days(self) -> i32 {
        self.audit_days
    }
}

/// What is no number is out of every range.
fn typed(text: &str) -> i64 {
    text.trim().parse().unwrap_or(0)
}

#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    #[error("is not the organisation's name")]
    OtherName,
    #[error("only an owner may delete the organisation")]
    OwnersOnly,
    #[error("this organisation still has domains or MDM servers: delete them first")]
    NotEmpty,
    #[error(transparent)]
    Member(MemberError),
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
}

impl From<MemberError> for DeletionError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::AdminsOnly | MemberError::OwnersOnly => Self::OwnersOnly,
            other => Self::Member(other),
        }
    }
}

impl From<sqlx::Error> for DeletionError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("mdm_servers_client_fkey" | "domains_client_fkey") => Self::NotEmpty,
            _ => Self::Organisation(OrganisationError::Database(error)),
        }
    }
}

pub async fn find(db: &mut PgConnection, scope: &Scope) -> Result<OrganisationSettings, OrganisationError> {
    let row = store::find_settings(db, scope).await?;
    let (name, request_days, audit_days) = row.ok_or(OrganisationError::NotFound)?;
    Ok(OrganisationSettings {
        name: Name::parse(&name).map_err(|_| OrganisationError::NotAName)?,
        retention: Retention::of(request_days, audit_days),
    })
}

/// Whoever changes some of it and keeps the rest reads it after this.
pub async fn lock(db: &mut PgConnection, scope: &Scope) -> Result<(), OrganisationError> {
    Ok(members::store::lock(db, scope).await?)
}

pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    wanted: &OrganisationSettings,
) -> Result<(), OrganisationError> {
    lock(db, scope).await?;
    let before = find(db, scope).await?;
    if before == *wanted {
        return Ok(());
    }
    store::update_settings(db, scope, wanted).await?;
    let details = json!({ "before": details(&before), "after": details(wanted) });
    let event = event("organisation.updated", scope, (wanted.name.as_str(), details));
    Ok(audit::record(db, scope, event).await?)
}

/// Deletes an organisation and all it has, if it has no domains. `typed` is its name: nobody does it by a slip.
pub async fn delete(db: &mut PgConnection, scope: &Scope, typed: &str) -> Result<(), DeletionError> {
    members::store::lock(db, scope).await?;
    if members::authority(db, scope).await? != Role::Owner {
        return Err(DeletionError::OwnersOnly);
    }
    let settings = find(db, scope).await?;
    if typed.trim() != settings.name.as_str() {
        return Err(DeletionError::OtherName);
    }
    remove(db, scope, &settings).await
}

/// The same by an operator, whatever role anybody has there.
pub async fn delete_for(
    db: &mut PgConnection,
    operator: Operator,
    organisation_id: Uuid,
    typed: &str,
) -> Result<(), DeletionError> {
    let scope = operator.scope(organisation_id);
    members::store::lock(db, &scope).await?;
    let settings = find(db, &scope).await?;
    if typed.trim() != settings.name.as_str() {
        return Err(DeletionError::OtherName);
    }
    remove(db, &scope, &settings).await
}

async fn remove(db: &mut PgConnection, scope: &Scope, settings: &OrganisationSettings) -> Result<(), DeletionError> {
    let user_ids = members::store::list_ids(db, scope, None).await?;
    people::store::lock(db, Operator::signing_in(), &user_ids).await?;
    store::delete(db, scope).await?;
    people::forget_without_membership(db, Operator::signing_in(), &user_ids).await?;
    let event = event("organisation.deleted", scope, (settings.name.as_str(), json!({})));
    audit::record_for_operators(db, scope, event).await?;
    Ok(())
}

fn details(settings: &OrganisationSettings) -> serde_json::Value {
    json!({
        "name": settings.name.as_str(),
        "request_days": settings.retention.request_days,
        "audit_days": settings.retention.audit_days,
    })
}

pub(super) fn event(action: &'static str, scope: &Scope, (name, details): (&str, serde_json::Value)) -> audit::Event {
    audit::Event {
        action,
        subject: audit::Subject {
            kind: "organisation",
            id: scope.organisation_id(),
            name: name.to_owned(),
        },
        client_id: None,
        details,
    }
}
