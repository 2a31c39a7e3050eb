//! What ends with a member: the API tokens, invitations and links to instructions that they, or their tokens, made.
//! Webhook endpoints stay, because they carry data out for the organisation and not for a person; an admin sees who made
//! them. Sessions in the organisation end with the membership, by the schema.
pub mod store;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Scope, members::Standing, role::Role};
use crate::audit;

/// How much of it there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub tokens: usize,
    pub invitations: usize,
    pub share_links: usize,
}

impl Made {
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// "2 API tokens and 1 invitation".
    #[must_use]
    pub fn described(&self) -> String {
        let parts = [
            (self.tokens, "API token"),
            (self.invitations, "invitation"),
            (self.share_links, "share link"),
        ];
        let part = |(count, noun): (usize, &str)| match count {
            0 => None,
            1 => Some(format!("1 {noun}")),
            _ => Some(format!("{count} {noun}s")),
        };
        let parts: Vec<_> = parts.into_iter().filter_map(part).collect();
        match parts.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }
}

/// What a member answers for that would end with them.
pub async fn count(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<Made, sqlx::Error> {
    store::count(db, scope, user_id).await
}

/// Revokes what a member answers for who has been removed or has left.
pub async fn revoke_all(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<Made, sqlx::Error> {
    let tokens = store::delete_tokens(db, scope, user_id, None).await?;
    let invitations = store::delete_invitations(db, scope, user_id, &[]).await?;
    let share_links = store::delete_share_links(db, scope, user_id).await?;
    record(db, scope, &tokens, &invitations).await?;
    Ok(Made {
        tokens: tokens.len(),
        invitations: invitations.len(),
        share_links: usize::try_from(share_links).unwrap_or_default(),
    })
}

/// Revokes what a member answers for and could no longer make with `standing`.
pub async fn revoke_beyond(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    standing: Standing,
) -> Result<(), sqlx::Error> {
    // Tokens and invitations are made by those who administer; what a token could do is bounded by that.
    if standing.role().may_give(Role::Viewer) && standing.client_id().is_none() {
        let kept: Vec<&str> = Role::ALL
            .into_iter()
            .filter(|role| standing.role().may_give(*role))
            .map(Role::as_str)
            .collect();
        let invitations = store::delete_invitations(db, scope, user_id, &kept).await?;
        return record(db, scope, &[], &invitations).await;
    }
    let permissions: Vec<&str> = standing
        .role()
        .permissions()
        .iter()
        .map(|permission| permission.as_str())
        .collect();
    let kept = store::KeptTokens {
        scopes: &permissions,
        client_id: standing.client_id(),
    };
    let tokens = store::delete_tokens(db, scope, user_id, Some(kept)).await?;
    let invitations = store::delete_invitations(db, scope, user_id, &[]).await?;
    record(db, scope, &tokens, &invitations).await
}

async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    tokens: &[store::DeletedToken],
    invitations: &[Uuid],
) -> Result<(), sqlx::Error> {
    for token in tokens {
        let subject = audit::Subject {
            kind: "token",
            id: token.id,
            name: token.name.clone(),
        };
        let event = audit::Event {
            action: "token.revoked",
            subject,
            client_id: token.client_id,
            details: serde_json::json!({ "because": "member" }),
        };
        audit::record(db, scope, event).await?;
    }
    for id in invitations {
        let subject = audit::Subject {
            kind: "invitation",
            id: *id,
            name: "invitation".to_owned(),
        };
        let event = audit::Event {
            action: "invitation.revoked",
            subject,
            client_id: None,
            details: serde_json::json!({ "because": "member" }),
        };
        audit::record(db, scope, event).await?;
    }
    Ok(())
}
