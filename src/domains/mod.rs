//! The registry of hostnames: which client claims each, what it answers, and what is to be done
//! until it does. Knows nothing of HTTP or HTML.
mod own_hosts;
pub mod ownership;
pub mod policy;
pub mod servers;
pub mod share_links;
pub mod status;
pub mod store;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::{ClientScope, Operator, Scope},
    audit,
    hostname::Hostname,
    input::WebUrl,
    vendors,
};
pub use own_hosts::OwnHosts;
use policy::{Action, Policy, Rule};
use store::Answering;

/// How a device's request for the domain reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The domain's own records point at us.
    Direct,
    /// The customer's web server redirects to the edge host.
    Redirect,
    /// The customer's web server fetches our answer.
    Proxy,
}

impl Connection {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Redirect, Self::Proxy];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Redirect => "redirect",
            Self::Proxy => "proxy",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|connection| connection.as_str() == text)
    }
}

/// A registered hostname with the facts that its status follows from.
#[derive(Clone, Debug)]
pub struct Domain {
    pub id: Uuid,
    pub hostname: String,
    pub client_id: Uuid,
    pub connection: Connection,
    pub website_url: Option<String>,
    pub policy: Policy,
    pub ownership_key: Vec<u8>,
    pub ownership_verified_at: Option<DateTime<Utc>>,
    pub suspended_at: Option<DateTime<Utc>>,
    pub certificate: Option<CertificateFacts>,
    pub certificate_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Of the certificate that lasts longest.
#[derive(Clone, Debug)]
pub struct CertificateFacts {
    pub issuer: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub renews_at: DateTime<Utc>,
}

/// A domain to be registered, its parts parsed.
pub struct NewDomain {
    pub hostname: Hostname,
    pub connection: Connection,
    pub website_url: Option<WebUrl>,
    pub default: Default,
    pub rules: Vec<Rule>,
}

/// What a new domain does when no rule matches.
pub enum Default {
    Server(Uuid),
    NewServer(vendors::Server),
    Action(Action),
}

/// What may be changed of a domain.
#[derive(Default)]
pub struct Change {
    pub connection: Option<Connection>,
    pub website_url: Option<Option<WebUrl>>,
    pub policy: Option<Policy>,
}

#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    #[error("{0} is already registered")]
    HostnameTaken(String),
    #[error("{0} is a name of Signpost's own")]
    OwnHost(String),
    #[error("there is no such domain")]
    NotFound,
    #[error("there is no MDM server {0} of this client")]
    NoSuchServer(Uuid),
    #[error("there is no such MDM server")]
    ServerNotFound,
    #[error("a domain's policy still names this MDM server: change the policy first")]
    ServerInUse,
    #[error("a stored row can't be read: {0}")]
    Stored(String),
    #[error("the domains could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DomainError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("policy_servers_server_fkey") => Self::ServerInUse,
            _ => Self::Database(error),
        }
    }
}

/// Registers a domain for the client of `scope`. A name that anyone holds is [`DomainError::HostnameTaken`].
#[tracing::instrument(skip_all, fields(domain.hostname = %new.hostname))]
pub async fn register(
    db: &mut PgConnection,
    scope: &ClientScope,
    own: &OwnHosts,
    new: NewDomain,
) -> Result<Domain, DomainError> {
    if own.contain(&new.hostname) {
        return Err(DomainError::OwnHost(new.hostname.to_string()));
    }
    let default = match new.default {
        Default::Action(action) => action,
        Default::Server(server_id) => Action::Serve { server_id },
        Default::NewServer(server) => Action::Serve {
            server_id: servers::find_or_create(db, scope, server).await?,
        },
    };
    let policy = Policy {
        default,
        rules: new.rules,
    };
    let answering = Answering {
        connection: new.connection,
        website_url: new.website_url.as_ref().map(WebUrl::as_str),
        policy: &policy,
    };
    let domain_id = store::insert(db, scope, &new.hostname, &answering).await?;
    link_servers(db, scope, domain_id, &policy).await?;
    let subject = subject(domain_id, new.hostname.as_str());
    let details = json!({ "connection": new.connection.as_str(), "policy": policy.without_people() });
    record(db, scope, "domain.created", subject, details).await?;
    store::find(db, scope.scope(), domain_id)
        .await?
        .ok_or(DomainError::NotFound)
}

/// Changes a domain; what `change` leaves out stays.
pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    domain: &Domain,
    change: Change,
) -> Result<Domain, DomainError> {
    let client = scope
        .client(db, domain.client_id)
        .await
        .map_err(|_| DomainError::NotFound)?;
    let mut details = serde_json::Map::new();
    if let Some(connection) = change.connection {
        details.insert(
            "connection".into(),
            json!({ "from": domain.connection.as_str(), "to": connection.as_str() }),
        );
    }
    if let Some(url) = &change.website_url {
        details.insert(
            "website_url".into(),
            json!({ "from": domain.website_url, "to": url.as_ref().map(WebUrl::as_str) }),
        );
    }
    if let Some(policy) = &change.policy {
        details.insert(
            "policy".into(),
            json!({ "from": domain.policy.without_people(), "to": policy.without_people() }),
        );
        servers::store::unlink(db, &client, domain.id).await?;
        link_servers(db, &client, domain.id, policy).await?;
    }
    let answering = Answering {
        connection: change.connection.unwrap_or(domain.connection),
        website_url: match &change.website_url {
            Some(url) => url.as_ref().map(WebUrl::as_str),
            None => domain.website_url.as_deref(),
        },
        policy: change.policy.as_ref().unwrap_or(&domain.policy),
    };
    store::update(db, &client, domain.id, &answering).await?;
    let subject = subject(domain.id, &domain.hostname);
    record(db, &client, "domain.updated", subject, details.into()).await?;
    store::find(db, scope, domain.id).await?.ok_or(DomainError::NotFound)
}

/// Deletes a domain: it stops being served with the commit.
pub async fn delete(db: &mut PgConnection, scope: &Scope, domain: &Domain) -> Result<(), DomainError> {
    let client = scope
        .client(db, domain.client_id)
        .await
        .map_err(|_| DomainError::NotFound)?;
    store::delete(db, &client, domain.id).await?;
    let subject = subject(domain.id, &domain.hostname);
    record(db, &client, "domain.deleted", subject, json!({})).await
}

/// Takes an operator's word that the client owns the domain, instead of the TXT record.
pub async fn verify(
    db: &mut PgConnection,
    operator: Operator,
    hostname: &Hostname,
    now: DateTime<Utc>,
) -> Result<(), DomainError> {
    let verified = store::set_verified(db, operator, hostname, now)
        .await?
        .ok_or(DomainError::NotFound)?;
    let scope = operator.scope(verified.organisation_id);
    let subject = subject(verified.domain_id, hostname.as_str());
    let event = audit::Event {
        action: "domain.verified_by_operator",
        subject,
        client_id: Some(verified.client_id),
        details: json!({}),
    };
    audit::record(db, &scope, event).await?;
    Ok(())
}

async fn link_servers(
    db: &mut PgConnection,
    scope: &ClientScope,
    domain_id: Uuid,
    policy: &Policy,
) -> Result<(), DomainError> {
    for server_id in policy.server_ids() {
        if !servers::store::link(db, scope, domain_id, server_id).await? {
            return Err(DomainError::NoSuchServer(server_id));
        }
    }
    Ok(())
}

fn subject(id: Uuid, hostname: &str) -> audit::Subject {
    audit::Subject {
        kind: "domain",
        id,
        name: hostname.to_owned(),
    }
}

async fn record(
    db: &mut PgConnection,
    scope: &ClientScope,
    action: &'static str,
    subject: audit::Subject,
    details: serde_json::Value,
) -> Result<(), DomainError> {
    let event = audit::Event {
        action,
        subject,
        client_id: Some(scope.client_id()),
        details,
    };
    audit::record(db, scope.scope(), event).await?;
    Ok(())
}
