//! People: an address, a name, a password, and the organisations they are members of.
pub mod store;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Member, Operator, email::Email, organisations::OrganisationError, password_links, sessions};
use crate::{
    audit,
    sealed::{Keyring, SealError},
};

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

/// Changes the name of whoever is signed in.
pub async fn rename(db: &mut PgConnection, keyring: &Keyring, member: &Member, name: &str) -> Result<(), sqlx::Error> {
    let sealed = keyring.seal(&name_context(member.user_id), name.as_bytes());
    store::update_name(db, member, &sealed).await?;
    let event = audit::Event::of_member(member, "member.renamed");
    audit::record(db, &member.own_scope(), event).await
}

/// Changes the password of whoever is signed in: every other browser is signed out, and links that were sent are over.
pub async fn change_password(db: &mut PgConnection, member: &Member, password_hash: &str) -> Result<(), sqlx::Error> {
    let operator = Operator::signing_in();
    store::update_password(db, operator, member.user_id, password_hash).await?;
    password_links::store::delete_all(db, member.user_id).await?;
    sessions::store::delete_all(db, operator, member.user_id, Some(member.session_id)).await?;
    let event = audit::Event::of_member(member, "member.password_changed");
    audit::record(db, &member.own_scope(), event).await
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
