//! MDM servers: one MDM tenant of a client each.
pub mod store;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::DomainError;
use crate::{
    accounts::{ClientScope, Scope},
    audit,
    input::Name,
    vendors::{self, Enrollment, Vendor},
};

/// A stored MDM server. Version and BaseURL follow from `server`.
#[derive(Debug)]
pub struct MdmServer {
    pub id: Uuid,
    pub client_id: Uuid,
    pub name: String,
    pub server: vendors::Server,
    pub created_at: DateTime<Utc>,
}

/// A row as it is stored; [`StoredServer::configure`] makes it usable.
#[derive(Clone, Debug)]
pub struct StoredServer {
    pub id: Uuid,
    pub client_id: Uuid,
    pub name: String,
    pub vendor: String,
    pub enrollment: String,
    pub parameters: serde_json::Value,
    pub created_at: DateTime<Utc>,
}

impl StoredServer {
    pub fn configure(self) -> Result<MdmServer, DomainError> {
        let server = configure(&self.vendor, &self.enrollment, &self.parameters)
            .map_err(|error| DomainError::Stored(format!("MDM server {}: {error}", self.id)))?;
        Ok(MdmServer {
            id: self.id,
            client_id: self.client_id,
            name: self.name,
            server,
            created_at: self.created_at,
        })
    }
}

/// What the three stored columns say, in one sentence if they can't be understood.
pub fn configure(vendor: &str, enrollment: &str, parameters: &serde_json::Value) -> Result<vendors::Server, String> {
    let vendor = Vendor::from_key(vendor).ok_or_else(|| format!("unknown vendor {vendor}"))?;
    let enrollment = Enrollment::from_key(enrollment).ok_or_else(|| format!("unknown enrollment {enrollment}"))?;
    let parameters = parameters.as_object().ok_or("parameters are no object")?;
    vendors::configure(vendor, Some(enrollment), parameters).map_err(|errors| {
        errors
            .into_iter()
            .map(|error| format!("{}: {}", error.parameter, error.detail))
            .collect::<Vec<_>>()
            .join("; ")
    })
}

pub async fn create(
    db: &mut PgConnection,
    scope: &ClientScope,
    name: Option<Name>,
    server: vendors::Server,
) -> Result<MdmServer, DomainError> {
    let name = name.map_or_else(|| server.vendor().name().to_owned(), Name::into_string);
    let stored = store::insert(db, scope, &name, &server).await?;
    record(
        db,
        scope.scope(),
        "mdm_server.created",
        &stored,
        json!({ "vendor": server.vendor().key() }),
    )
    .await?;
    stored.configure()
}

/// The client's server with these very parameters, made if it is new: registering ten domains of one
/// tenant makes one server.
pub async fn find_or_create(
    db: &mut PgConnection,
    scope: &ClientScope,
    server: vendors::Server,
) -> Result<Uuid, DomainError> {
    if let Some(server_id) = store::find_same(db, scope, &server).await? {
        return Ok(server_id);
    }
    store::lock(db, scope).await?;
    match store::find_same(db, scope, &server).await? {
        Some(server_id) => Ok(server_id),
        None => create(db, scope, None, server).await.map(|created| created.id),
    }
}

/// Changes name and parameters; every domain that serves it changes with the commit.
pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    before: &MdmServer,
    name: Option<Name>,
    server: Option<vendors::Server>,
) -> Result<MdmServer, DomainError> {
    let name = name.map_or_else(|| before.name.clone(), Name::into_string);
    let server = server.as_ref().unwrap_or(&before.server);
    let stored = store::update(db, scope, before.id, &name, server)
        .await?
        .ok_or(DomainError::ServerNotFound)?;
    let details = json!({ "name": { "from": before.name, "to": name }, "base_url": { "from": before.server.base_url(), "to": server.base_url() } });
    record(db, scope, "mdm_server.updated", &stored, details).await?;
    stored.configure()
}

/// Deletes a server that no policy names.
pub async fn delete(db: &mut PgConnection, scope: &Scope, server: &MdmServer) -> Result<(), DomainError> {
    store::delete(db, scope, server.id).await?;
    let subject = audit::Subject {
        kind: "mdm_server",
        id: server.id,
        name: server.name.clone(),
    };
    let event = audit::Event {
        action: "mdm_server.deleted",
        subject,
        client_id: Some(server.client_id),
        details: json!({}),
    };
    audit::record(db, scope, event).await?;
    Ok(())
}

async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    action: &'static str,
    stored: &StoredServer,
    details: serde_json::Value,
) -> Result<(), DomainError> {
    let subject = audit::Subject {
        kind: "mdm_server",
        id: stored.id,
        name: stored.name.clone(),
    };
    audit::record(
        db,
        scope,
        audit::Event {
            action,
            subject,
            client_id: Some(stored.client_id),
            details,
        },
    )
    .await?;
    Ok(())
}
