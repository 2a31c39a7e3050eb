//! Operators: people who run this Signpost and see all of it in the console. Only the command line makes one.
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Operator,
    email::Email,
    organisations::OrganisationError,
    people::{self, Person},
};
use crate::{audit, clock::DatabaseTime, sealed::Keyring};

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("nobody has an account with this address")]
    NoSuchPerson,
    #[error("this person is no member of any organisation, and so can't sign in")]
    NoMember,
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error("the operators could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// Whether a person was made what they were not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Changed,
    /// They were, or were not, an operator already.
    None,
}

/// An operator, as others see them. Has no `Debug`.
pub struct Listed {
    pub person: Person,
    pub since: DateTime<Utc>,
}

/// Makes the person with this address an operator; with `since` none, not any more.
pub async fn set(
    db: &mut PgConnection,
    operator: Operator,
    keyring: &Keyring,
    email: &Email,
    since: Option<DatabaseTime>,
) -> Result<Change, OperatorError> {
    let digest = email.digest(db, keyring).await?;
    let known = people::store::find_credentials(db, operator, &digest).await?;
    let user_id = known.ok_or(OperatorError::NoSuchPerson)?.user_id;
    let memberships = people::store::list_memberships(db, operator, user_id).await?;
    if since.is_some() && memberships.is_empty() {
        return Err(OperatorError::NoMember);
    }
    if !store::update(db, operator, user_id, since).await? {
        return Ok(Change::None);
    }
    // Each of their organisations is to know what one of its people may see.
    for (organisation_id, _) in memberships {
        let subject = audit::Subject {
            kind: "user",
            id: user_id,
            name: "member".to_owned(),
        };
        let event = audit::Event {
            action: match since {
                Some(_) => "operator.added",
                None => "operator.removed",
            },
            subject,
            client_id: None,
            details: serde_json::json!({}),
        };
        audit::record(db, &operator.scope(organisation_id), event).await?;
    }
    Ok(Change::Changed)
}

/// All of them, the longest first.
pub async fn list(db: &mut PgConnection, operator: Operator, keyring: &Keyring) -> Result<Vec<Listed>, OperatorError> {
    let mut listed = Vec::new();
    for (user_id, since) in store::list(db, operator).await? {
        if let Some(person) = people::find(db, keyring, user_id).await? {
            listed.push(Listed { person, since });
        }
    }
    Ok(listed)
}

/// In what an operator did, who of them it was: names are personal data.
#[must_use]
pub fn details(operator: Operator, reason: Option<&str>) -> serde_json::Value {
    let mut details = serde_json::Map::new();
    if let Some(user_id) = operator.person() {
        details.insert("operator_id".to_owned(), Uuid::to_string(&user_id).into());
    }
    if let Some(reason) = reason {
        details.insert("reason".to_owned(), reason.into());
    }
    details.into()
}
