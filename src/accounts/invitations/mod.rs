//! Invitations: an address, what its owner is to be, and a link by mail that works once, for seven days. Whoever opens
//! it and has an account must be signed in with that very address; whoever has none makes one.
mod acceptance;
mod letter;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Scope,
    authorship::StoredAuthor,
    email::Email,
    members::{self, MAX_MEMBERS, MemberError, Standing, authority, may_give},
    organisations::OrganisationError,
    secret_text::SecretText,
};
use crate::{audit, clock::DatabaseTime, outbox, sealed::Keyring};
pub use acceptance::{Accepted, Opened, accept, accept_as_new, accept_by_address, open};

const LIFETIME: TimeDelta = TimeDelta::days(7);
/// Of one organisation.
pub const MAX_OPEN: i64 = 50;
/// Mails of one organisation: whoever is invited is a stranger, and did not ask for them.
const MAX_IN_A_DAY: i64 = 100;

/// What invitations are sent with.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    pub keyring: &'a Keyring,
    /// Links are made of it, and never of a request.
    pub portal_url: &'a str,
}

/// One that is open. Has no `Debug`.
pub struct Invitation {
    pub id: Uuid,
    pub email: Email,
    pub standing: Standing,
    /// The name of the client that it is limited to.
    pub client: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub author: StoredAuthor,
}

/// What somebody is invited to. Has no `Debug`.
pub struct NewInvitation {
    pub email: Email,
    pub standing: Standing,
}

#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    #[error("there is no such invitation")]
    NotFound,
    #[error("this address belongs to a member already")]
    MemberAlready,
    #[error("this address is invited already: send that invitation again, or delete it first")]
    InvitedAlready,
    #[error("an organisation may have at most {MAX_OPEN} open invitations: delete some first")]
    TooMany,
    #[error("an organisation may have at most {MAX_MEMBERS} members and invitations")]
    Full,
    #[error("an organisation may send at most {MAX_IN_A_DAY} invitations in 24 hours")]
    TooManyMails,
    #[error("this invitation is for another address")]
    NotYours,
    /// Signing in comes first.
    #[error("this address has an account")]
    HasAccount,
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    Organisation(OrganisationError),
}

impl From<sqlx::Error> for InvitationError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("invitations_email_key") => Self::InvitedAlready,
            _ => Self::Member(error.into()),
        }
    }
}

impl From<OrganisationError> for InvitationError {
    fn from(error: OrganisationError) -> Self {
        match error {
            OrganisationError::EmailTaken => Self::HasAccount,
            OrganisationError::Database(error) => error.into(),
            other => Self::Organisation(other),
        }
    }
}

/// Invites somebody: the mail goes out with the commit.
pub async fn invite(
    db: &mut PgConnection,
    sender: Sender<'_>,
    scope: &Scope,
    new: &NewInvitation,
    now: DatabaseTime,
) -> Result<Invitation, InvitationError> {
    members::store::lock(db, scope).await?;
    may_give(authority(db, scope).await?, new.standing.role())?;
    let digest = new.email.digest(db, sender.keyring).await?;
    if members::store::has_address(db, scope, &digest).await? {
        return Err(InvitationError::MemberAlready);
    }
    store::delete_expired_of(db, scope, now).await?;
    let open = store::count(db, scope).await?;
    if open >= MAX_OPEN {
        return Err(InvitationError::TooMany);
    }
    if open + members::store::count(db, scope).await? >= MAX_MEMBERS {
        return Err(InvitationError::Full);
    }
    let (id, secret) = (Uuid::now_v7(), SecretText::random());
    let row = store::NewRow {
        invitation_id: id,
        standing: new.standing,
        email_sealed: &sender.keyring.seal(&context(id), new.email.expose().as_bytes()),
        email_digest: &digest,
        token_digest: &secret.digest(),
    };
    store::insert(db, scope, &row, (now, now + LIFETIME)).await?;
    let invitation = find(db, sender.keyring, scope, id, now).await?;
    send(db, sender, scope, (&invitation, &secret), ("invitation.created", now)).await?;
    Ok(invitation)
}

/// Sends an invitation once more, with another link that works for seven days from now. The one before is over.
pub async fn resend(
    db: &mut PgConnection,
    sender: Sender<'_>,
    scope: &Scope,
    id: Uuid,
    now: DatabaseTime,
) -> Result<Invitation, InvitationError> {
    members::store::lock(db, scope).await?;
    let invitation = find(db, sender.keyring, scope, id, now).await?;
    may_give(authority(db, scope).await?, invitation.standing.role())?;
    let secret = SecretText::random();
    store::renew(db, scope, id, (&secret.digest(), now.get() + LIFETIME)).await?;
    send(
        db,
        sender,
        scope,
        (&invitation, &secret),
        ("invitation.sent_again", now),
    )
    .await?;
    Ok(Invitation {
        expires_at: now.get() + LIFETIME,
        ..invitation
    })
}

async fn send(
    db: &mut PgConnection,
    sender: Sender<'_>,
    scope: &Scope,
    (invitation, secret): (&Invitation, &SecretText),
    (action, now): (&'static str, DatabaseTime),
) -> Result<(), InvitationError> {
    let sent = audit::store::count(
        db,
        scope,
        &["invitation.created", "invitation.sent_again"],
        now - TimeDelta::days(1),
    );
    if sent.await? >= MAX_IN_A_DAY {
        return Err(InvitationError::TooManyMails);
    }
    let organisation = store::find_organisation(db, scope).await?;
    let mail = letter::write(sender.portal_url, &organisation, invitation, secret);
    outbox::post(db, sender.keyring, Some(scope.organisation_id()), &mail, now).await?;
    record(db, scope, action, (invitation.id, invitation.standing)).await
}

/// Takes an invitation back: its link shows nothing any more.
pub async fn revoke(db: &mut PgConnection, scope: &Scope, id: Uuid, now: DatabaseTime) -> Result<(), InvitationError> {
    members::store::lock(db, scope).await?;
    let standing = store::delete(db, scope, id, now).await?;
    let standing = standing.ok_or(InvitationError::NotFound)?;
    may_give(authority(db, scope).await?, standing.role())?;
    record(db, scope, "invitation.revoked", (id, standing)).await
}

/// Those that are open, in the order in which they were made, behind `after`.
pub async fn list(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    (after, limit): (Option<Uuid>, i64),
    now: DatabaseTime,
) -> Result<Vec<Invitation>, InvitationError> {
    let rows = store::list(db, scope, (after, limit), now).await?;
    rows.into_iter().map(|row| open_row(keyring, row)).collect()
}

pub async fn find(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    id: Uuid,
    now: DatabaseTime,
) -> Result<Invitation, InvitationError> {
    let row = store::find(db, scope, id, now).await?;
    open_row(keyring, row.ok_or(InvitationError::NotFound)?)
}

fn open_row(keyring: &Keyring, row: store::Row) -> Result<Invitation, InvitationError> {
    let email = keyring
        .open(&context(row.invitation_id), &row.email_sealed)
        .map_err(MemberError::from)?;
    Ok(Invitation {
        id: row.invitation_id,
        email: Email::opened(email).ok_or(InvitationError::NotFound)?,
        standing: Standing::stored(&row.role, row.client_id),
        client: row.client,
        created_at: row.created_at,
        expires_at: row.expires_at,
        author: StoredAuthor {
            kind: row.created_by,
            id: row.created_by_id,
        },
    })
}

async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    action: &'static str,
    (id, standing): (Uuid, Standing),
) -> Result<(), InvitationError> {
    // The address is personal data.
    let subject = audit::Subject {
        kind: "invitation",
        id,
        name: "invitation".to_owned(),
    };
    let event = audit::Event {
        action,
        subject,
        client_id: None,
        details: json!({ "role": standing.role().as_str(), "client_id": standing.client_id() }),
    };
    Ok(audit::record(db, scope, event).await?)
}

/// What a sealed address of an invitation is bound to.
#[must_use]
pub fn context(invitation_id: Uuid) -> String {
    format!("invitations.email:{invitation_id}")
}
