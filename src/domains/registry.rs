//! Registering, changing and deleting: each in the caller's transaction, with its audit event.
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Change, Default, Domain, DomainError, NewDomain, RegistrationRules, checks,
    ownership::{self, claims::proved_at, settle},
    policy::{Action, Policy},
    servers,
    store::{self, Answering},
    subject,
};
use crate::{
    accounts::{ClientScope, Operator, Scope},
    audit,
    clock::DatabaseTime,
    hostname::Hostname,
    input::WebUrl,
};

/// Registers a domain for the client of `scope`. A name that the organisation has already is
/// [`DomainError::HostnameTaken`]; one that another organisation has becomes a claim beside theirs.
#[tracing::instrument(skip_all, fields(domain.hostname = %new.hostname))]
pub async fn register(
    db: &mut PgConnection,
    scope: &ClientScope,
    own: &RegistrationRules,
    new: NewDomain,
) -> Result<Domain, DomainError> {
    let mut allowance = Allowance::find(db, scope.scope(), own).await?;
    register_within(db, scope, own, new, &mut allowance).await
}

/// [`register`], one of many of a transaction, which has found its `allowance` once.
pub async fn register_within(
    db: &mut PgConnection,
    scope: &ClientScope,
    own: &RegistrationRules,
    new: NewDomain,
    allowance: &mut Allowance,
) -> Result<Domain, DomainError> {
    if own.contain(&new.hostname) {
        return Err(DomainError::OwnHost(new.hostname.to_string()));
    }
    allowance.check()?;
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
    allowance.unverified += 1;
    store::find(db, scope.scope(), domain_id)
        .await?
        .ok_or(DomainError::NotFound)
}

/// How many more unverified domains the organisation may register in this transaction.
pub struct Allowance {
    /// `None`: any number.
    limit: Option<i64>,
    unverified: i64,
}

impl Allowance {
    /// Locks an organisation that registered itself until the end of the transaction, so that two registrations are
    /// counted one after the other.
    pub async fn find(db: &mut PgConnection, scope: &Scope, rules: &RegistrationRules) -> Result<Self, DomainError> {
        let counts = store::lock_unverified(db, scope).await?;
        Ok(Self {
            limit: counts.as_ref().map(|counts| rules.allowance(counts.verified)),
            unverified: counts.map_or(0, |counts| counts.unverified),
        })
    }

    fn check(&self) -> Result<(), DomainError> {
        match self.limit {
            Some(limit) if self.unverified >= limit => Err(DomainError::TooManyUnverified {
                unverified: self.unverified,
                limit,
            }),
            Some(_) | None => Ok(()),
        }
    }
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
    if answering.connection != domain.connection {
        checks::store::forget_connection(db, scope, domain.id).await?;
    }
    checks::store::hurry(db, scope, domain.id).await?;
    let subject = subject(domain.id, &domain.hostname);
    record(db, &client, "domain.updated", subject, details.into()).await?;
    store::find(db, scope, domain.id).await?.ok_or(DomainError::NotFound)
}

/// The domain as it is now, locked: two changes at once are made one after the other.
pub async fn find_to_change(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<Domain, DomainError> {
    store::lock(db, scope, domain_id).await?;
    store::find(db, scope, domain_id).await?.ok_or(DomainError::NotFound)
}

/// Deletes a domain: it stops being served with the commit.
pub async fn delete(
    db: &mut PgConnection,
    scope: &Scope,
    domain: &Domain,
    now: DatabaseTime,
) -> Result<(), DomainError> {
    let client = scope
        .client(db, domain.client_id)
        .await
        .map_err(|_| DomainError::NotFound)?;
    if let Some(verification) = domain.claim.verification {
        let proved_at = proved_at(verification, &domain.claim.proof);
        ownership::store::insert_tombstone(db, scope, &domain.hostname, proved_at, now).await?;
    }
    store::delete(db, &client, domain.id).await?;
    let subject = subject(domain.id, &domain.hostname);
    record(db, &client, "domain.deleted", subject, json!({})).await
}

/// Deletes some of an organisation's domains, then of its MDM servers. For an organisation that goes as a whole, and its
/// audit log with it. Returns how many; `0`: there are none left.
pub async fn delete_some(db: &mut PgConnection, scope: &Scope, limit: i64) -> Result<u64, DomainError> {
    match store::delete_some(db, scope, limit).await? {
        0 => Ok(super::servers::store::delete_some(db, scope, limit).await?),
        deleted => Ok(deleted),
    }
}

/// Takes an operator's word that the client owns the domain, instead of the TXT record. Where several organisations claim
/// it, `organisation_id` says which one does.
pub async fn verify(
    db: &mut PgConnection,
    operator: Operator,
    hostname: &Hostname,
    organisation_id: Option<Uuid>,
    now: DatabaseTime,
) -> Result<(), DomainError> {
    settle::take_word(db, operator, hostname, organisation_id, now).await
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

pub(super) async fn record(
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
