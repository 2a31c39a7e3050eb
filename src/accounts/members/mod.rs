//! The people of an organisation: who they are, what each may do there, and who may change that.
pub mod store;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    By, Member, Operator, Scope,
    email::Email,
    offboarding,
    people::{self, SealedPerson},
    role::Role,
};
use crate::{
    audit,
    sealed::{Keyring, SealError},
};

/// Of one organisation, with those who are invited.
pub const MAX_MEMBERS: i64 = 500;

/// What somebody may do in an organisation, and for which client if not for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    role: Role,
    client_id: Option<Uuid>,
}

impl Standing {
    /// Whoever administers sees every client.
    pub fn new(role: Role, client_id: Option<Uuid>) -> Result<Self, MemberError> {
        match client_id.is_none() || role.may_be_limited() {
            true => Ok(Self { role, client_id }),
            false => Err(MemberError::SeesAllClients(role)),
        }
    }

    #[must_use]
    pub fn role(self) -> Role {
        self.role
    }

    #[must_use]
    pub fn client_id(self) -> Option<Uuid> {
        self.client_id
    }

    /// For an audit event.
    pub(super) fn details(self) -> serde_json::Value {
        json!({ "role": self.role.as_str(), "client_id": self.client_id })
    }

    /// As the database has it, which takes no other.
    pub(super) fn stored(role: &str, client_id: Option<Uuid>) -> Self {
        Self {
            role: Role::parse(role).unwrap_or(Role::Viewer),
            client_id,
        }
    }
}

/// One of an organisation's people, as the others see them. Has no `Debug`.
pub struct Colleague {
    pub user_id: Uuid,
    pub email: Email,
    pub name: Option<String>,
    pub standing: Standing,
    /// The name of the client that they are limited to.
    pub client: Option<String>,
    pub joined_at: DateTime<Utc>,
    pub seen_at: Option<DateTime<Utc>>,
}

impl Colleague {
    /// The name; the address of one who has not said it.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(self.email.expose())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("there is no such member")]
    NotFound,
    #[error("only an owner may make somebody an owner, or change or remove one")]
    OwnersOnly,
    #[error("only an owner or an admin may change or remove members")]
    AdminsOnly,
    #[error("an organisation needs an owner: make somebody else one first")]
    LastOwner,
    #[error("must be null: an {} sees every client", .0.as_str())]
    SeesAllClients(Role),
    #[error("there is no such client")]
    NoSuchClient,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the members could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for MemberError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("memberships_client_fkey" | "invitations_client_fkey") => Self::NoSuchClient,
            _ => Self::Database(error),
        }
    }
}

/// Those that `scope` may see, in the order of their ids, behind `after`.
pub async fn list(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Colleague>, MemberError> {
    let rows = store::list(db, scope, (after, limit)).await?;
    rows.into_iter().map(|row| open(keyring, row)).collect()
}

pub async fn find(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    user_id: Uuid,
) -> Result<Colleague, MemberError> {
    let row = store::find(db, scope, user_id).await?;
    open(keyring, row.ok_or(MemberError::NotFound)?)
}

fn open(keyring: &Keyring, row: store::Row) -> Result<Colleague, MemberError> {
    let sealed = SealedPerson {
        user_id: row.user_id,
        email_sealed: row.email_sealed,
        name_sealed: row.name_sealed,
    };
    let person = sealed.open(keyring)?;
    Ok(Colleague {
        user_id: person.user_id,
        email: person.email,
        name: person.name,
        standing: Standing::stored(&row.role, row.client_id),
        client: row.client,
        joined_at: row.created_at,
        seen_at: row.seen_at,
    })
}

/// Gives a member another role or another limit.
pub async fn change(db: &mut PgConnection, scope: &Scope, user_id: Uuid, wanted: Standing) -> Result<(), MemberError> {
    store::lock(db, scope).await?;
    let now = store::find_standing(db, scope, user_id).await?;
    let now = now.ok_or(MemberError::NotFound)?;
    let author = authority(db, scope).await?;
    judge(
        author,
        now.role,
        Some(wanted.role),
        store::count_owners(db, scope).await?,
    )?;
    if now == wanted {
        return Ok(());
    }
    store::update(db, scope, user_id, wanted).await?;
    offboarding::revoke_beyond(db, scope, user_id, wanted).await?;
    let details = json!({ "before": now.details(), "after": wanted.details() });
    record(db, scope, "member.updated", user_id, details).await
}

/// Takes a member out: their sessions there end with the commit. Whoever is a member of nothing else is forgotten.
pub async fn remove(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<(), MemberError> {
    store::lock(db, scope).await?;
    let now = store::find_standing(db, scope, user_id).await?;
    let now = now.ok_or(MemberError::NotFound)?;
    let author = authority(db, scope).await?;
    judge(author, now.role, None, store::count_owners(db, scope).await?)?;
    take_out(db, scope, user_id, ("member.removed", now)).await
}

/// Takes oneself out, whatever one's role is.
pub async fn leave(db: &mut PgConnection, member: &Member) -> Result<(), MemberError> {
    let scope = Scope::of_new_member(member.organisation_id, member.user_id, None);
    store::lock(db, &scope).await?;
    let now = store::find_standing(db, &scope, member.user_id).await?;
    let now = now.ok_or(MemberError::NotFound)?;
    if now.role == Role::Owner && member.identity_provider_id.is_some() {
        return Err(MemberError::OwnersOnly);
    }
    // Everybody may take from themselves.
    judge(Role::Owner, now.role, None, store::count_owners(db, &scope).await?)?;
    take_out(db, &scope, member.user_id, ("member.left", now)).await
}

/// Takes a member out whose account gives way to the owner of its address.
pub(super) async fn replace(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<(), MemberError> {
    let now = store::find_standing(db, scope, user_id).await?;
    let now = now.ok_or(MemberError::NotFound)?;
    take_out(db, scope, user_id, ("member.replaced", now)).await
}

async fn take_out(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    (action, standing): (&'static str, Standing),
) -> Result<(), MemberError> {
    people::store::lock(db, Operator::signing_in(), &[user_id]).await?;
    offboarding::revoke_all(db, scope, user_id).await?;
    store::delete(db, scope, user_id).await?;
    record(db, scope, action, user_id, standing.details()).await?;
    people::forget_without_membership(db, Operator::signing_in(), &[user_id]).await?;
    Ok(())
}

/// As what the holder of `scope` acts here. Read under the lock: who was an owner a moment ago may be none any more.
pub(super) async fn authority(db: &mut PgConnection, scope: &Scope) -> Result<Role, MemberError> {
    if scope.client_id().is_some() {
        return Err(MemberError::AdminsOnly);
    }
    match scope.by() {
        By::Member { id } => {
            let standing = store::find_standing(db, scope, *id).await?;
            let role = standing.map(Standing::role).ok_or(MemberError::AdminsOnly)?;
            Ok(match scope.is_providers_word() {
                true => role.on_a_providers_word(),
                false => role,
            })
        }
        // An admin can make one, so it may no more than an admin.
        By::Token { .. } => Ok(Role::Admin),
        By::Operator => Ok(Role::Owner),
        By::Signpost => Err(MemberError::AdminsOnly),
    }
}

/// Whether one with the role `author` may make `wanted` of somebody who is `now`; `None`: take them out.
fn judge(author: Role, now: Role, wanted: Option<Role>, owners: i64) -> Result<(), MemberError> {
    may_give(author, now)?;
    if let Some(wanted) = wanted {
        may_give(author, wanted)?;
    }
    match now == Role::Owner && wanted != Some(Role::Owner) && owners < 2 {
        true => Err(MemberError::LastOwner),
        false => Ok(()),
    }
}

pub(super) fn may_give(author: Role, role: Role) -> Result<(), MemberError> {
    match (author.may_give(role), author) {
        (true, _) => Ok(()),
        (false, Role::Admin | Role::Owner) => Err(MemberError::OwnersOnly),
        (false, Role::Editor | Role::Viewer) => Err(MemberError::AdminsOnly),
    }
}

/// Who it is is looked up where it is shown: names are personal data.
pub(super) async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    action: &'static str,
    user_id: Uuid,
    details: serde_json::Value,
) -> Result<(), MemberError> {
    let subject = audit::Subject {
        kind: "member",
        id: user_id,
        name: "member".to_owned(),
    };
    let event = audit::Event {
        action,
        subject,
        client_id: None,
        details,
    };
    Ok(audit::record(db, scope, event).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_rises_by_their_own_hand_and_an_owner_is_always_left() {
        let rank = |role| Role::ALL.into_iter().rev().position(|other| other == role);
        for role in Role::ALL {
            for wanted in Role::ALL {
                let may_rise = rank(wanted) > rank(role) && judge(role, role, Some(wanted), 9).is_ok();
                assert!(!may_rise, "{role:?} {wanted:?}");
                let demoted = judge(role, Role::Owner, Some(wanted), 1).is_ok();
                assert_eq!(demoted, role == Role::Owner && wanted == Role::Owner);
            }
            assert!(judge(role, Role::Owner, None, 1).is_err());
            assert_eq!(judge(role, Role::Owner, None, 2).is_ok(), role == Role::Owner);
            assert_eq!(judge(role, Role::Viewer, None, 1).is_ok(), role.may_give(Role::Viewer));
        }
    }

    #[test]
    fn whoever_administers_is_limited_to_no_client() {
        for role in Role::ALL {
            assert!(Standing::new(role, None).is_ok());
            assert_eq!(
                Standing::new(role, Some(Uuid::nil())).is_ok(),
                matches!(role, Role::Editor | Role::Viewer)
            );
        }
    }
}
