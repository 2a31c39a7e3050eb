//! Accounts whose address only a single sign-on provider has vouched for. Nobody has opened a link that was mailed there,
//! so such an account must not keep the owner of the mailbox from an account of their own: it is replaced when they prove
//! the mailbox by signing up, accepting an invitation or changing their address. A password that is set by a mailed link
//! proves the mailbox as well, and keeps the account.
pub mod store;

use sqlx::PgConnection;

use super::{
    Operator,
    members::{self, MemberError},
    people,
    role::Role,
};
use crate::input::unlinkable;

/// Names of the organisations that such an account with this address is a member of. Empty: there is none.
pub async fn organisations(db: &mut PgConnection, email_digest: &[u8]) -> Result<Vec<String>, sqlx::Error> {
    let operator = Operator::signing_in();
    let Some(user_id) = store::find(db, operator, email_digest).await? else {
        return Ok(Vec::new());
    };
    let memberships = people::store::list_memberships(db, operator, user_id).await?;
    Ok(memberships.into_iter().map(|(_, name)| name).collect())
}

/// What a mail says that asks for the proof. `organisations` are names that strangers chose.
#[must_use]
pub fn mail_paragraph(portal_url: &str, organisations: &[String]) -> String {
    if organisations.is_empty() {
        return String::new();
    }
    let names: Vec<_> = organisations.iter().map(|name| unlinkable(name)).collect();
    let names = names.join(", ");
    format!(
        "Single sign-on of {names} has created an account with this address, and nobody has confirmed that the address is theirs. If you open the link above, that account is deleted and is no longer a member of {names}. To keep it, choose a password for it instead: {portal_url}/password/forgotten\n\n"
    )
}

/// Deletes such an account for somebody who has proved the mailbox, with its memberships and what it made. Its address is
/// free afterwards. An account that is the only owner of an organisation stays.
pub async fn replace(db: &mut PgConnection, email_digest: &[u8]) -> Result<(), MemberError> {
    let operator = Operator::signing_in();
    let Some(user_id) = store::find(db, operator, email_digest).await? else {
        return Ok(());
    };
    let mut organisation_ids = store::list_organisations(db, operator, user_id).await?;
    for organisation_id in &organisation_ids {
        members::store::lock(db, &operator.scope(*organisation_id)).await?;
    }
    people::store::lock(db, operator, &[user_id]).await?;
    // Under the lock: it may have been proved, or joined something else, a moment ago.
    if store::find(db, operator, email_digest).await? != Some(user_id)
        || store::list_organisations(db, operator, user_id).await? != organisation_ids
    {
        return Ok(());
    }
    for organisation_id in &organisation_ids {
        let scope = operator.scope(*organisation_id);
        let standing = members::store::find_standing(db, &scope, user_id).await?;
        let is_owner = standing.is_some_and(|standing| standing.role() == Role::Owner);
        if is_owner && members::store::count_owners(db, &scope).await? < 2 {
            return Ok(());
        }
    }
    for organisation_id in organisation_ids.drain(..) {
        members::replace(db, &operator.scope(organisation_id), user_id).await?;
    }
    people::forget_without_membership(db, operator, &[user_id]).await?;
    Ok(())
}
