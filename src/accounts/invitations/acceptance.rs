//! The other end of an invitation: whoever has opened its link, and comes in.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Invitation, InvitationError, context, find, store};
use crate::{
    accounts::{
        Operator, Scope,
        email::Email,
        members::{self, MemberError, Standing},
        people::{self, NewPerson},
        secret_text::SecretText,
        unproved_accounts,
    },
    clock::DatabaseTime,
    sealed::Keyring,
};

/// What whoever has the link is shown.
pub struct Opened {
    pub organisation: String,
    pub invitation: Invitation,
    /// Who has this address; none: nobody yet.
    pub user_id: Option<Uuid>,
    /// Only single sign-on of these organisations has vouched for the address: accepting replaces that account.
    pub replaces_account_of: Vec<String>,
}

/// Who has become a member of what.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub user_id: Uuid,
    pub organisation_id: Uuid,
}

/// What the link that holds `secret` is for.
pub async fn open(
    db: &mut PgConnection,
    keyring: &Keyring,
    secret: &SecretText,
    now: DatabaseTime,
) -> Result<Opened, InvitationError> {
    let operator = Operator::signing_in();
    let found = store::find_by_token(db, operator, &secret.digest(), now).await?;
    let found = found.ok_or(InvitationError::NotFound)?;
    let scope = operator.scope(found.organisation_id);
    let known = people::store::find_credentials(db, operator, &found.email_digest).await?;
    Ok(Opened {
        organisation: store::find_organisation(db, &scope).await?,
        invitation: find(db, keyring, &scope, found.invitation_id, now).await?,
        user_id: known.map(|known| known.user_id),
        replaces_account_of: unproved_accounts::organisations(db, &found.email_digest).await?,
    })
}

/// Makes the person a member, if the invitation is for their address.
pub async fn accept(
    db: &mut PgConnection,
    secret: &SecretText,
    user_id: Uuid,
    now: DatabaseTime,
) -> Result<Accepted, InvitationError> {
    let operator = Operator::signing_in();
    let taken = store::take(db, operator, &secret.digest(), now).await?;
    let taken = taken.ok_or(InvitationError::NotFound)?;
    // Whoever does not commit leaves the invitation as it was.
    if people::store::find_digest(db, operator, user_id).await? != Some(taken.email_digest.clone()) {
        return Err(InvitationError::NotYours);
    }
    join(db, &taken, user_id).await
}

/// Makes somebody new, and a member. An account whose address only a provider has vouched for is replaced.
pub async fn accept_as_new(
    db: &mut PgConnection,
    keyring: &Keyring,
    secret: &SecretText,
    (name, password_hash): (&str, &str),
    now: DatabaseTime,
) -> Result<Accepted, InvitationError> {
    let taken = store::take(db, Operator::signing_in(), &secret.digest(), now).await?;
    let taken = taken.ok_or(InvitationError::NotFound)?;
    let email = keyring
        .open(&context(taken.invitation_id), &taken.email_sealed)
        .map_err(MemberError::from)?;
    unproved_accounts::replace(db, &taken.email_digest).await?;
    let new = NewPerson {
        email: &Email::opened(email).ok_or(InvitationError::NotFound)?,
        name: Some(name),
        password_hash: Some(password_hash),
        is_email_unproved: false,
    };
    let user_id = people::create(db, keyring, new).await?;
    join(db, &taken, user_id).await
}

/// Makes the person a member who has shown, in another way than by the link, that the address is theirs.
pub async fn accept_by_address(
    db: &mut PgConnection,
    scope: &Scope,
    (email_digest, user_id): (&[u8], Uuid),
    now: DatabaseTime,
) -> Result<Accepted, InvitationError> {
    let taken = store::take_by_address(db, scope, email_digest, now).await?;
    join(db, &taken.ok_or(InvitationError::NotFound)?, user_id).await
}

async fn join(db: &mut PgConnection, taken: &store::Taken, user_id: Uuid) -> Result<Accepted, InvitationError> {
    let standing = Standing::stored(&taken.role, taken.client_id);
    let scope = Scope::of_new_member(taken.organisation_id, user_id, None);
    store::insert_membership(db, &scope, user_id, standing).await?;
    members::record(db, &scope, "member.joined", user_id, standing.details()).await?;
    Ok(Accepted {
        user_id,
        organisation_id: taken.organisation_id,
    })
}
