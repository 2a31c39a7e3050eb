//! Who made something, as the API shows it.
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use crate::accounts::{
    Scope,
    authorship::{Author, Authors, StoredAuthor},
};

/// A member, a token, the operator or Signpost itself.
#[derive(Serialize, ToSchema)]
pub struct AuthorBody {
    /// `member`, `token`, `operator` or `signpost`.
    #[serde(rename = "type")]
    #[schema(example = "member")]
    kind: String,
    id: Option<Uuid>,
    /// Of a member the name that they have now.
    #[schema(example = "Ada Lovelace")]
    name: String,
}

impl From<Author> for AuthorBody {
    fn from(author: Author) -> Self {
        Self {
            kind: author.kind,
            id: author.id,
            name: author.name,
        }
    }
}

/// The author of one row; `None` if it was not written down.
pub async fn author(
    db: &mut PgConnection,
    api: &Api,
    scope: &Scope,
    stored: &StoredAuthor,
) -> Result<Option<AuthorBody>, sqlx::Error> {
    let authors = Authors::find(db, &api.keyring, scope, std::iter::once(stored)).await?;
    Ok(authors.author(stored).map(AuthorBody::from))
}
