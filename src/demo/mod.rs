//! Example data for a trial: clients, their domains in every state, a month of requests, somebody who can sign in, and a
//! token; the last two are the same at every start.
//!
//! Nothing here exists outside: the names end in `.example`, and what was "seen" of them is made up. Whoever asks for a
//! check gets what is really there, which is nothing.
mod becoming;
mod examples;
mod history;
mod store;

use std::net::IpAddr;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    accounts::{
        Operator, Scope, clients,
        email::Email,
        organisations::{self, Founding, OrganisationError},
        people,
        token::{self, TokenText},
    },
    clock::DatabaseTime,
    domains::{self, DomainError, RegistrationRules},
    hostname::Hostname,
    passwords::{Busy, NewPassword, Passwords},
    sealed::Keyring,
};
use examples::{EXAMPLES, Example};

const ORGANISATION: &str = "Demo MSP";
/// The domain that the printed lines ask for.
pub const HOSTNAME: &str = "contoso.example";
/// Who can sign in.
pub const EMAIL: &str = "demo@signpost.example";

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error(transparent)]
    Client(#[from] clients::ClientError),
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error("the secret of the demo has a wrong length")]
    Seed,
    #[error("the demo's password can't be set: {0}")]
    Password(String),
    #[error("the demo could not be written")]
    Database(#[from] sqlx::Error),
}

impl From<Busy> for DemoError {
    fn from(busy: Busy) -> Self {
        Self::Password(busy.to_string())
    }
}

/// Makes what is missing of the demo; its domains point at `addresses`, where we are. Returns its token.
pub async fn fill(
    pool: &PgPool,
    keyring: &Keyring,
    own: &RegistrationRules,
    addresses: &[IpAddr],
) -> Result<TokenText, DemoError> {
    let operator = Operator::at_the_command_line();
    let mut tx = pool.begin().await?;
    // Follows from the first key that there ever was, and is kept beyond it: a new key changes no token.
    let text = TokenText::from_seed(seed(&mut tx, keyring, "demo token").await?);
    let scope = operator.scope(organisation(&mut tx, keyring).await?);
    token::store::upsert_demo(&mut tx, &scope, &text).await?;
    for example in EXAMPLES {
        register(&mut tx, &scope, (own, addresses), example).await?;
    }
    tx.commit().await?;
    Ok(text)
}

async fn organisation(db: &mut PgConnection, keyring: &Keyring) -> Result<Uuid, DemoError> {
    let operator = Operator::at_the_command_line();
    if let Some(id) = organisations::store::find_by_name(db, operator, ORGANISATION).await? {
        return Ok(id);
    }
    let founding = Founding {
        organisation: ORGANISATION,
        name: Some("Demo Owner"),
        email: &email()?,
        password_hash: None,
        is_trusted: true,
    };
    let (organisation_id, _) = organisations::found(db, keyring, founding, operator).await?;
    Ok(organisation_id)
}

fn email() -> Result<Email, OrganisationError> {
    Email::parse(EMAIL).map_err(|_| OrganisationError::NotAnEmail(EMAIL.to_owned()))
}

/// Registers an example, and writes what has happened to it. One that is there already only gets the requests of the days
/// since; where somebody uses the name in earnest, theirs stays.
async fn register(
    db: &mut PgConnection,
    scope: &Scope,
    (own, addresses): (&RegistrationRules, &[IpAddr]),
    example: &Example,
) -> Result<(), DemoError> {
    let Ok(hostname) = Hostname::parse(example.hostname) else {
        return Ok(());
    };
    let now = DatabaseTime::read(db).await?;
    if let Some(domain) = domains::store::find_by_hostname(db, scope, &hostname).await? {
        history::write(db, scope, example, &domain, now).await?;
        return Ok(());
    }
    let client = clients::find_or_create(db, scope, example.client).await?;
    let new = example.domain(db, &client, hostname.clone()).await?;
    let registered = match domains::register(db, &client, own, new).await {
        Err(DomainError::HostnameTaken(_)) => return Ok(()),
        registered => registered?,
    };
    example.become_so(db, scope, (&hostname, addresses), now).await?;
    history::write(db, scope, example, &registered, now).await?;
    Ok(())
}

/// Lets the demo's person in with the password that is returned, whatever it was before.
pub async fn let_in(pool: &PgPool, keyring: &Keyring, passwords: &Passwords) -> Result<String, DemoError> {
    let operator = Operator::at_the_command_line();
    let mut db = pool.acquire().await?;
    let text = password(seed(&mut db, keyring, "demo password").await?);
    let digest = email()?.digest(&mut db, keyring).await?;
    let Some(found) = people::store::find_credentials(&mut db, operator, &digest).await? else {
        return Ok(text);
    };
    let is_right = match found.password_hash.as_deref() {
        Some(hash) => passwords.is_right(text.clone(), Some(hash)).await?,
        None => false,
    };
    if !is_right {
        let new = NewPassword::parse(&text, &[EMAIL]).map_err(|error| DemoError::Password(error.to_owned()))?;
        let hash = passwords.hash(new).await?;
        people::store::update_password(&mut db, operator, found.user_id, &hash).await?;
    }
    Ok(text)
}

/// Five groups of four.
fn password(seed: [u8; 32]) -> String {
    // Nothing that is taken for something else when it is typed.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let characters: Vec<char> = seed[..20]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    let groups: Vec<String> = characters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

async fn seed(db: &mut PgConnection, keyring: &Keyring, name: &str) -> Result<[u8; 32], DemoError> {
    let seed = organisations::store::find_or_insert_secret_as(db, keyring, name, &keyring.derive(name)).await?;
    seed.try_into().map_err(|_| DemoError::Seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_one_that_may_be_set() {
        for start in [0_u8, 1, 77, 255] {
            let mut seed = [0; 32];
            let mut byte = start;
            for place in &mut seed {
                byte = byte.wrapping_mul(37).wrapping_add(11);
                *place = byte;
            }
            let text = password(seed);
            assert_eq!(text.len(), 24);
            assert!(NewPassword::parse(&text, &[EMAIL, "Demo Owner"]).is_ok(), "{text}");
        }
    }
}
