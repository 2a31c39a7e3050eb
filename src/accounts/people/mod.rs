//! People: an address, a name, a password, and the organisations they are members of.
pub mod store;

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Member, Operator, Scope, email::Email, known_browsers, organisations::OrganisationError, password_links,
    secret_text::SecretText, sessions,
};
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

/// Somebody who is to be.
pub struct NewPerson<'a> {
    pub email: &'a Email,
    pub name: Option<&'a str>,
    pub password_hash: Option<&'a str>,
    /// Only a single sign-on provider has said that the address is theirs.
    pub is_email_unproved: bool,
}

/// Makes somebody who is a member of nothing yet.
pub async fn create(db: &mut PgConnection, keyring: &Keyring, new: NewPerson<'_>) -> Result<Uuid, OrganisationError> {
    let user_id = Uuid::now_v7();
    let name_sealed = new
        .name
        .map(|name| keyring.seal(&name_context(user_id), name.as_bytes()));
    let row = store::NewUser {
        user_id,
        email_sealed: &keyring.seal(
            &super::organisations::email_context(user_id),
            new.email.expose().as_bytes(),
        ),
        email_digest: &new.email.digest(db, keyring).await?,
        name_sealed: name_sealed.as_deref(),
        password_hash: new.password_hash,
        is_email_unproved: new.is_email_unproved,
    };
    store::insert(db, &row).await?;
    Ok(user_id)
}

/// Whoever of these is a member of no organisation any more is forgotten: nothing could be done with the account.
pub async fn forget_without_membership(
    db: &mut PgConnection,
    operator: Operator,
    user_ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    // First locked: what another organisation does for them meanwhile must be seen when they are judged.
    store::lock(db, operator, user_ids).await?;
    store::delete_without_membership(db, operator, user_ids).await
}

/// The owners and admins of the scope's organisation, the oldest membership first. One whose address does not open, or who
/// has just left, is left out.
pub async fn administrators(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
) -> Result<Vec<Person>, sqlx::Error> {
    let mut people = Vec::new();
    for user_id in store::list_administrators(db, scope).await? {
        match find(db, keyring, user_id).await {
            Ok(person) => people.extend(person),
            Err(OrganisationError::Database(error)) => return Err(error),
            Err(error) => {
                tracing::error!(event = "person.unreadable", user.id = %user_id, %error, "could not read a person's address");
            }
        }
    }
    Ok(people)
}

/// What those of these are called who are members of the organisation: their name, or else their address.
pub async fn names(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    user_ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    if user_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sealed = store::list_members(db, scope, user_ids).await?;
    // What does not open is told elsewhere: a list is not to fail for one name.
    let opened = sealed.into_iter().filter_map(|sealed| sealed.open(keyring).ok());
    let called = opened.map(|person| {
        let name = person.name.unwrap_or_else(|| person.email.expose().to_owned());
        (person.user_id, name)
    });
    Ok(called.collect())
}

/// Changes the name of whoever is signed in.
pub async fn rename(db: &mut PgConnection, keyring: &Keyring, member: &Member, name: &str) -> Result<(), sqlx::Error> {
    let sealed = keyring.seal(&name_context(member.user_id), name.as_bytes());
    store::update_name(db, member, &sealed).await?;
    let event = audit::Event::of_member(member, "member.renamed");
    audit::record(db, &member.own_scope(), event).await
}

/// Changes the password of a signed-in person, in the known browser that holds `browser`. Every other browser is signed
/// out and forgotten, and links that were sent no longer work.
pub async fn change_password(
    db: &mut PgConnection,
    member: &Member,
    password_hash: &str,
    browser: Option<&SecretText>,
) -> Result<(), sqlx::Error> {
    let operator = Operator::signing_in();
    store::update_password(db, operator, member.user_id, password_hash).await?;
    password_links::store::delete_all(db, member.user_id).await?;
    sessions::store::delete_all(db, operator, member.user_id, Some(member.session_id)).await?;
    known_browsers::forget(db, member.user_id, browser).await?;
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
