//! Who made something that outlives a session, as programs and pages show it.
use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{By, Scope, people};
use crate::sealed::Keyring;

/// As a row has it; both are null for rows from before it was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAuthor {
    /// `member`, `token`, `operator` or `signpost`.
    pub kind: Option<String>,
    pub id: Option<Uuid>,
}

impl StoredAuthor {
    #[must_use]
    pub fn of(by: &By) -> Self {
        Self {
            kind: Some(by.kind().to_owned()),
            id: by.id(),
        }
    }
}

/// With the name to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub kind: String,
    pub id: Option<Uuid>,
    /// Of a member the name that they have now.
    pub name: String,
}

/// The names of authors, looked up at once.
pub struct Authors {
    members: HashMap<Uuid, String>,
    tokens: HashMap<Uuid, String>,
}

impl Authors {
    pub async fn find(
        db: &mut PgConnection,
        keyring: &Keyring,
        scope: &Scope,
        stored: impl Iterator<Item = &StoredAuthor>,
    ) -> Result<Self, sqlx::Error> {
        let (mut members, mut has_tokens) = (Vec::new(), false);
        for author in stored {
            match (author.kind.as_deref(), author.id) {
                (Some("member"), Some(id)) => members.push(id),
                (Some("token"), _) => has_tokens = true,
                _ => {}
            }
        }
        members.sort_unstable();
        members.dedup();
        let tokens = match has_tokens {
            true => super::token::store::list(db, scope, None, super::token::MAX_TOKENS).await?,
            false => Vec::new(),
        };
        Ok(Self {
            members: people::names(db, keyring, scope, &members).await?,
            tokens: tokens.into_iter().map(|token| (token.id, token.name)).collect(),
        })
    }

    /// `None`: not known.
    #[must_use]
    pub fn author(&self, stored: &StoredAuthor) -> Option<Author> {
        let kind = stored.kind.clone()?;
        let name = |names: &HashMap<Uuid, String>, otherwise: &str| {
            let name = stored.id.and_then(|id| names.get(&id));
            name.cloned().unwrap_or_else(|| otherwise.to_owned())
        };
        let name = match kind.as_str() {
            "member" => name(&self.members, "a former member"),
            "token" => name(&self.tokens, "a revoked token"),
            other => other.to_owned(),
        };
        Some(Author {
            kind,
            id: stored.id,
            name,
        })
    }
}
