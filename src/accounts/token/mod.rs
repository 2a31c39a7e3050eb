//! API tokens: `sgp_`, 32 random characters, a checksum. Shown once, stored as SHA-256.
pub mod store;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Permission, Scope, authorship::StoredAuthor};
use crate::{
    audit,
    clock::DatabaseTime,
    input::{FieldError, Name},
};

const PREFIX: &str = "sgp_";
const RANDOM: usize = 32;
const CHECKSUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Tokens of one organisation.
pub const MAX_TOKENS: i64 = 200;

/// A token's text. Has no `Debug`; it is shown once and then only its digest is known.
pub struct TokenText(String);

impl TokenText {
    #[must_use]
    pub fn random() -> Self {
        Self::from_characters(random_characters())
    }

    /// The token that follows from `seed`, for a demo server that shows it at every start.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::from_characters(seed.into_iter().map(|byte| character(byte % 248)).collect())
    }

    fn from_characters(random: String) -> Self {
        let checksum = checksum(&random);
        Self(format!("{PREFIX}{random}{checksum}"))
    }

    /// `None` for what is no token of ours, without asking the database: the checksum tells.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (random, check) = text
            .strip_prefix(PREFIX)
            .filter(|rest| rest.is_ascii())?
            .split_at_checked(RANDOM)?;
        (checksum(random) == check).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest::digest(&digest::SHA256, self.0.as_bytes())
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes")
    }
}

/// 32 letters and digits that nobody guesses, also for other secrets that are shown once.
#[must_use]
pub fn random_characters() -> String {
    // 62 does not divide 256: bytes beyond the last whole multiple are drawn again.
    std::iter::repeat_with(crate::sealed::random::<1>)
        .map(|[byte]| byte)
        .filter(|byte| *byte < 248)
        .take(RANDOM)
        .map(character)
        .collect()
}

fn character(byte: u8) -> char {
    char::from(ALPHABET[usize::from(byte % 62)])
}

/// Six characters of the SHA-256 of the random part: finds typing mistakes and lets secret scanners
/// tell a real token from a text that looks like one.
fn checksum(random: &str) -> String {
    let digest = digest::digest(&digest::SHA256, random.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(CHECKSUM)
        .map(|byte| character(*byte))
        .collect()
}

/// A stored token: everything but its text.
#[derive(Debug)]
pub struct ApiToken {
    pub id: Uuid,
    pub name: String,
    pub scopes: Vec<Permission>,
    pub client_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub author: StoredAuthor,
}

/// What a new token is to be; its parts are parsed.
pub struct NewToken {
    pub name: String,
    pub scopes: Vec<Permission>,
    pub client_id: Option<Uuid>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What somebody asks for, as it came.
pub struct Asked {
    pub name: String,
    pub scopes: Vec<String>,
    /// Limits it to one client.
    pub client_id: Option<Uuid>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Asked {
    /// What `scope` may make of it. The pointers of what is wrong are those of the API's body.
    pub fn parse(self, scope: &Scope, now: DatabaseTime) -> Result<NewToken, TokenError> {
        let mut errors = Vec::new();
        let name = Name::parse(&self.name).map_err(|detail| errors.push(FieldError::new("/name", detail)));
        let mut scopes = Vec::new();
        for (index, text) in self.scopes.iter().enumerate() {
            match Permission::parse(text) {
                Some(scope) => scopes.push(scope),
                None => errors.push(FieldError::new(
                    format!("/scopes/{index}"),
                    format_args!("is not one of {}", Permission::ALL.map(Permission::as_str).join(", ")),
                )),
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        if self.scopes.is_empty() {
            errors.push(FieldError::new("/scopes", "name at least one"));
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            errors.push(FieldError::new("/expires_at", "has passed"));
        }
        // Whoever is limited to a client makes tokens for that client only.
        let client_id = self.client_id.or(scope.client_id());
        if scope.client_id().is_some() && client_id != scope.client_id() {
            return Err(TokenError::NoSuchClient);
        }
        if client_id.is_some() && scope.client_id().is_none() && scopes.contains(&Permission::OrganisationAdmin) {
            errors.push(FieldError::new(
                "/scopes",
                "a token that is limited to one client can't have organisation:admin",
            ));
        }
        match name {
            Ok(name) if errors.is_empty() => Ok(NewToken {
                name: name.into_string(),
                scopes,
                client_id,
                expires_at: self.expires_at,
            }),
            _ => Err(TokenError::Invalid(errors)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{} things are wrong", .0.len())]
    Invalid(Vec<FieldError>),
    #[error("there is no such token")]
    NotFound,
    #[error("there is no such client")]
    NoSuchClient,
    #[error("an organisation may have at most {MAX_TOKENS} tokens: delete one that is not used")]
    TooMany,
    #[error("the tokens could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// Makes a token and writes it down. The text is returned this once.
pub async fn create(db: &mut PgConnection, scope: &Scope, new: NewToken) -> Result<(ApiToken, TokenText), TokenError> {
    if store::count(db, scope).await? >= MAX_TOKENS {
        return Err(TokenError::TooMany);
    }
    let text = TokenText::random();
    let token = store::insert(db, scope, &new, &text).await?;
    let details = serde_json::json!({ "scopes": new.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>() });
    audit::record(
        db,
        scope,
        audit::Event {
            action: "token.created",
            subject: audit::Subject::token(&token),
            client_id: token.client_id,
            details,
        },
    )
    .await?;
    Ok((token, text))
}

/// Revokes a token: it stops working with the commit.
pub async fn revoke(db: &mut PgConnection, scope: &Scope, token_id: Uuid) -> Result<(), TokenError> {
    let token = store::delete(db, scope, token_id).await?.ok_or(TokenError::NotFound)?;
    let event = audit::Event {
        action: "token.revoked",
        subject: audit::Subject::token(&token),
        client_id: token.client_id,
        details: serde_json::json!({}),
    };
    audit::record(db, scope, event).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_checksum() {
        let token = TokenText::random();
        assert_eq!(token.expose().len(), PREFIX.len() + RANDOM + CHECKSUM);
        assert_eq!(
            TokenText::parse(token.expose()).map(|parsed| parsed.digest()),
            Some(token.digest())
        );
        let mut changed = token.expose().to_owned();
        changed.replace_range(4..5, if changed.as_bytes()[4] == b'a' { "b" } else { "a" });
        for text in [
            changed.as_str(),
            "",
            "sgp_",
            "sgp_ééééééééééééééééééééééééé",
            &token.expose()[..30],
        ] {
            assert!(TokenText::parse(text).is_none(), "{text}");
        }
    }
}
