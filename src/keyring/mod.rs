//! Which secret keys are in force, agreed between the key file and the database: a lost or a wrong
//! file is an error at start, not a private key that fails to open later.
pub mod store;

use std::path::Path;

use sqlx::PgConnection;

use crate::sealed::{KeyFileError, KeyId, Keyring};

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error(
        "SIGNPOST_SECRET_KEY_FILE: {0} is missing, and the database holds secrets sealed with it: put the file back"
    )]
    Lost(String),
    #[error(
        "SIGNPOST_SECRET_KEY_FILE: {0} holds none of the keys that this database was sealed with: put the right file there"
    )]
    Wrong(String),
    #[error(
        "SIGNPOST_SECRET_KEY_FILE: {0} lacks a key that is still needed: {1}. Put it back, behind the first line, until everything is sealed anew"
    )]
    StillNeeded(String, String),
    #[error("the secret keys could not be read or written in the database")]
    Database(#[from] sqlx::Error),
}

/// Opens the keys of `path`. A missing file is made on an empty database only.
pub async fn open(db: &mut PgConnection, path: &Path) -> Result<Keyring, KeyringError> {
    // Two nodes that start together on an empty database must not both make a file.
    store::lock(db).await?;
    let known = store::list(db).await?;
    let shown = || path.display().to_string();
    let keyring = match path.try_exists() {
        Ok(false) if known.is_empty() => Keyring::create(path)?,
        Ok(false) => return Err(KeyringError::Lost(shown())),
        _ => Keyring::load(path)?,
    };
    agree(db, &keyring, known, path).await?;
    Ok(keyring)
}

/// The same for keys that are in use already: a database that was away may be another one now.
pub async fn check(db: &mut PgConnection, keyring: &Keyring, path: &Path) -> Result<(), KeyringError> {
    store::lock(db).await?;
    let known = store::list(db).await?;
    agree(db, keyring, known, path).await
}

/// Same for a database that takes no changes: keys of ours that it does not know yet are noted at another start.
pub async fn check_read_only(db: &mut PgConnection, keyring: &Keyring, path: &Path) -> Result<(), KeyringError> {
    let known = store::list(db).await?;
    verify(db, keyring, &known, path).await
}

async fn agree(db: &mut PgConnection, keyring: &Keyring, known: Vec<Vec<u8>>, path: &Path) -> Result<(), KeyringError> {
    verify(db, keyring, &known, path).await?;
    for id in keyring.ids() {
        store::insert(db, id.as_bytes()).await?;
    }
    store::begin_sealing(db, keyring.current().as_bytes()).await?;
    Ok(())
}

/// Whether these are the keys of this database.
async fn verify(db: &mut PgConnection, keyring: &Keyring, known: &[Vec<u8>], path: &Path) -> Result<(), KeyringError> {
    let shown = || path.display().to_string();
    if !known.is_empty() && !keyring.ids().any(|id| known.iter().any(|known| known == id.as_bytes())) {
        return Err(KeyringError::Wrong(shown()));
    }
    let is_in_file = |known: &[u8]| keyring.ids().any(|id| id.as_bytes() == known);
    // Only then: it reads every row that is sealed.
    if known.iter().any(|known| !is_in_file(known)) {
        let mut needed = store::usage(db).await?;
        needed.retain(|usage| !is_in_file(&usage.key_id));
        if !needed.is_empty() {
            return Err(KeyringError::StillNeeded(shown(), told(&needed)));
        }
    }
    Ok(())
}

/// By key, with what it is needed for.
fn told(needed: &[store::Usage]) -> String {
    let lines = needed.iter().map(|usage| {
        let key = KeyId::try_from(usage.key_id.as_slice()).map_or_else(|_| "no key".to_owned(), |id| id.to_string());
        format!("{} rows of {} are sealed under {key}", usage.rows, usage.table)
    });
    lines.collect::<Vec<_>>().join(", ")
}
