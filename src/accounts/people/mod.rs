//! People: an address, a name, a password, and the organisations they are members of.
pub mod store;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Operator, email::Email, organisations::OrganisationError};
use crate::sealed::{Keyring, SealError};

/// Somebody, as others see them. Has no `Debug`.
pub struct Person {
    pub user_id: Uuid,
    pub email: Email,
    pub name: Option<String>,
}

/// Somebody's address and name, opened.
pub async fn find(
    db: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<Person>, OrganisationError> {
    let sealed = store::find(db, Operator::signing_in(), user_id).await?;
    let opened = sealed.map(|sealed| sealed.open(keyring)).transpose();
    Ok(opened?)
}

/// What only the sealed row knows.
pub(super) struct SealedPerson {
    pub user_id: Uuid,
    pub email_sealed: Vec<u8>,
    pub name_sealed: Option<Vec<u8>>,
}

impl SealedPerson {
    pub fn open(self, keyring: &Keyring) -> Result<Person, SealError> {
        let email = keyring.open(&super::organisations::email_context(self.user_id), &self.email_sealed)?;
        let name = match self.name_sealed {
            Some(sealed) => Some(keyring.open(&name_context(self.user_id), &sealed)?),
            None => None,
        };
        Ok(Person {
            user_id: self.user_id,
            email: Email::opened(email).ok_or(SealError::Malformed)?,
            name: name.and_then(|name| String::from_utf8(name).ok()),
        })
    }
}

/// What a user's sealed name is bound to.
#[must_use]
pub fn name_context(user_id: Uuid) -> String {
    format!("users.name:{user_id}")
}
