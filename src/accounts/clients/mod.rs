//! An MSP's customers.
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ClientScope, Operator, Scope, members, people};
use crate::audit;

/// A customer of an organisation; domains and MDM servers belong to one.
#[derive(Debug)]
pub struct Client {
    pub id: Uuid,
    pub name: String,
    /// What the MSP's own system calls it.
    pub external_ref: Option<String>,
    pub domain_count: i64,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("there is no such client")]
    NotFound,
    #[error("another client of this organisation has this name")]
    NameTaken,
    #[error("another client of this organisation has this external_ref")]
    ExternalRefTaken,
    #[error("this client still has domains or MDM servers: delete them first")]
    NotEmpty,
    #[error("this token is limited to one client: it can't make, change or delete clients")]
    LimitedToOneClient,
    #[error("the clients could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for ClientError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("clients_name_key") => Self::NameTaken,
            Some("clients_external_ref_key") => Self::ExternalRefTaken,
            Some("mdm_servers_client_fkey" | "domains_client_fkey") => Self::NotEmpty,
            _ => Self::Database(error),
        }
    }
}

/// Makes a client. A scope that is limited to one client can't.
pub async fn create(
    db: &mut PgConnection,
    scope: &Scope,
    name: &str,
    external_ref: Option<&str>,
) -> Result<Client, ClientError> {
    if scope.client_id().is_some() {
        return Err(ClientError::LimitedToOneClient);
    }
    let inserted = store::insert(db, scope, name, external_ref).await?;
    let client = inserted.ok_or(ClientError::NameTaken)?;
    record(db, scope, "client.created", &client).await?;
    Ok(client)
}

/// The client of this name, made if it is new. Names are compared without regard to case.
pub async fn find_or_create(db: &mut PgConnection, scope: &Scope, name: &str) -> Result<ClientScope, ClientError> {
    if let Some(client_id) = store::find_by_name(db, scope, name).await? {
        return Ok(ClientScope::of_new(scope, client_id));
    }
    let client_id = match create(db, scope, name, None).await {
        Ok(client) => client.id,
        // Somebody made it between our two statements, and has committed.
        Err(ClientError::NameTaken) => {
            let found = store::find_by_name(db, scope, name).await?;
            found.ok_or(ClientError::NameTaken)?
        }
        Err(error) => return Err(error),
    };
    Ok(ClientScope::of_new(scope, client_id))
}

/// Writes `client` back as it is now. A scope that is limited to one client can't: what another is called
/// would be told by a conflict.
pub async fn update(db: &mut PgConnection, scope: &Scope, client: &Client) -> Result<(), ClientError> {
    if scope.client_id().is_some() {
        return Err(ClientError::LimitedToOneClient);
    }
    store::update(db, scope, client).await?;
    record(db, scope, "client.updated", client).await
}

/// Deletes a client that has neither domains nor MDM servers. Whoever saw nothing else of the organisation is no member
/// any more.
pub async fn delete(db: &mut PgConnection, scope: &Scope, client: &Client) -> Result<(), ClientError> {
    if scope.client_id().is_some() {
        return Err(ClientError::LimitedToOneClient);
    }
    let limited = members::store::list_ids(db, scope, Some(client.id)).await?;
    people::store::lock(db, Operator::signing_in(), &limited).await?;
    store::delete(db, scope, client.id).await?;
    people::forget_without_membership(db, Operator::signing_in(), &limited).await?;
    record(db, scope, "client.deleted", client).await
}

async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    action: &'static str,
    client: &Client,
) -> Result<(), ClientError> {
    let subject = audit::Subject {
        kind: "client",
        id: client.id,
        name: client.name.clone(),
    };
    let details = serde_json::json!({ "external_ref": client.external_ref });
    audit::record(
        db,
        scope,
        audit::Event {
            action,
            subject,
            client_id: Some(client.id),
            details,
        },
    )
    .await?;
    Ok(())
}
