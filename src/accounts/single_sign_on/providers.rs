//! An organisation's provider, as its administrators set it up.
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Issuer, MailDomain, SingleSignOnError, store};
use crate::{
    accounts::{Operator, Scope, members, role::Role},
    audit,
    clock::DatabaseTime,
    hostname::Hostname,
    input::{FieldError, plain},
    sealed::Keyring,
};

/// Of one provider.
const MAX_DOMAINS: usize = 100;
const MAX_TEXT: usize = 500;

/// Who says who somebody is.
#[derive(Debug)]
pub struct Provider {
    pub id: Uuid,
    pub issuer: Issuer,
    pub client_id: String,
    pub mail_domains: Vec<MailDomain>,
    /// What somebody becomes who is neither a member nor invited; none: nobody joins so.
    pub new_member_role: Option<Role>,
    pub created_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
}

/// What the provider knows Signpost by. Has no `Debug`.
#[derive(Clone)]
pub struct ClientSecret(String);

impl ClientSecret {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        text_of(text).map(Self)
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn text_of(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err("must have 1 to 500 characters");
    }
    match text.chars().any(char::is_control) {
        true => Err("must not hold control characters"),
        false => Ok(text.to_owned()),
    }
}

/// The address that the provider has to know, and sends people back to. Administrators type it there: it stays.
#[must_use]
pub fn redirect_url(portal_url: &str) -> String {
    format!("{portal_url}/sign-in/single-sign-on/callback")
}

/// A provider as somebody has typed it.
pub struct Typed<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// None, or nothing typed: the one that is there stays.
    pub client_secret: Option<&'a str>,
    pub mail_domains: Vec<&'a str>,
    pub new_member_role: Option<&'a str>,
}

/// The same, parsed. Has no `Debug`.
pub struct Wanted {
    pub issuer: Issuer,
    pub client_id: String,
    pub client_secret: Option<ClientSecret>,
    pub mail_domains: Vec<Hostname>,
    pub new_member_role: Option<Role>,
}

impl Typed<'_> {
    /// Everything that is wrong with it and needs no look at what is stored.
    pub fn parse(&self) -> Result<Wanted, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut wrong =
            |pointer: String, error: &dyn ToString| errors.push(FieldError::new(pointer, error.to_string()));
        let issuer = Issuer::parse(self.issuer).map_err(|error| wrong("/issuer".into(), &error));
        let client_id = text_of(self.client_id).map_err(|error| wrong("/client_id".into(), &error));
        let secret = self.client_secret.filter(|secret| !secret.is_empty());
        let secret = secret.map(ClientSecret::parse).transpose();
        let secret = secret.map_err(|error| wrong("/client_secret".into(), &error));
        let mut mail_domains = Vec::new();
        for (index, text) in self.mail_domains.iter().enumerate().take(MAX_DOMAINS + 1) {
            match Hostname::parse(text) {
                Ok(hostname) if mail_domains.contains(&hostname) => {}
                Ok(hostname) => mail_domains.push(hostname),
                Err(error) => {
                    let told = format!("{}: {error}", plain(text, 100));
                    wrong(format!("/mail_domains/{index}"), &told);
                }
            }
        }
        match self.mail_domains.len() {
            0 => wrong("/mail_domains".into(), &"must name at least one"),
            1..=MAX_DOMAINS => {}
            _ => wrong("/mail_domains".into(), &"must have at most 100"),
        }
        let role = self.new_member_role.map(new_member_role).transpose();
        let role = role.map_err(|error| wrong("/new_member_role".into(), &error));
        match (issuer, client_id, secret, role) {
            (Ok(issuer), Ok(client_id), Ok(client_secret), Ok(new_member_role)) if errors.is_empty() => Ok(Wanted {
                issuer,
                client_id,
                client_secret,
                mail_domains,
                new_member_role,
            }),
            _ => Err(errors),
        }
    }
}

/// A provider makes nobody an administrator.
fn new_member_role(text: &str) -> Result<Role, &'static str> {
    let role = Role::parse(text).filter(|role| matches!(role, Role::Viewer | Role::Editor));
    role.ok_or("must be viewer or editor, or null")
}

pub async fn find(db: &mut PgConnection, scope: &Scope) -> Result<Option<Provider>, SingleSignOnError> {
    Ok(store::find(db, scope).await?)
}

/// What is wrong with it that only the database knows. Asked before the provider is, and once more when it is saved.
pub async fn check(db: &mut PgConnection, scope: &Scope, wanted: &Wanted) -> Result<(), SingleSignOnError> {
    let stored = store::find(db, scope).await?;
    let mut errors = Vec::new();
    let is_same = |stored: &Provider| stored.issuer == wanted.issuer && stored.client_id == wanted.client_id;
    match (&stored, &wanted.client_secret) {
        (_, Some(_)) => {}
        (None, None) => errors.push(FieldError::new("/client_secret", "is needed")),
        // Whoever may change the issuer must not have a secret sent there that they don't know.
        (Some(stored), None) if !is_same(stored) => errors.push(FieldError::new(
            "/client_secret",
            "is needed again: the issuer or the client ID is another",
        )),
        (Some(_), None) => {}
    }
    let names: Vec<String> = wanted.mail_domains.iter().map(ToString::to_string).collect();
    let held = store::list_claims(db, scope, &names).await?;
    for (index, name) in names.iter().enumerate() {
        let claim = held.iter().find(|claim| claim.hostname == *name);
        let fault = match claim {
            Some(claim) if claim.is_proved => continue,
            Some(claim) if claim.is_elsewhere => "is verified by another organisation: its people can't sign in here",
            Some(claim) if claim.is_registered => "is not verified yet: add its ownership record first",
            _ => "is not one of your domains: add it and verify it first",
        };
        let fault = format!("{name} {fault}");
        errors.push(FieldError::new(format!("/mail_domains/{index}"), fault));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(SingleSignOnError::Invalid(errors)),
    }
}

/// Another issuer or client ID is another provider: its subjects are other people's, so whom the one before meant is
/// forgotten, and who is signed in by it is signed out.
pub async fn save(
    db: &mut PgConnection,
    keyring: &Keyring,
    scope: &Scope,
    wanted: &Wanted,
    now: DatabaseTime,
) -> Result<Provider, SingleSignOnError> {
    members::store::lock(db, scope).await?;
    check(db, scope, wanted).await?;
    let stored = store::find(db, scope).await?;
    let is_same = |stored: &&Provider| stored.issuer == wanted.issuer && stored.client_id == wanted.client_id;
    let kept = stored.as_ref().filter(is_same);
    let id = kept.map_or_else(Uuid::now_v7, |stored| stored.id);
    if stored.is_some() && kept.is_none() {
        store::delete(db, scope).await?;
    }
    let sealed = wanted
        .client_secret
        .as_ref()
        .map(|secret| keyring.seal(&context(id), secret.expose().as_bytes()));
    match (kept, sealed) {
        (Some(_), sealed) => store::update(db, scope, wanted, sealed.as_deref(), now).await?,
        (None, sealed) => store::insert(db, scope, (id, wanted), &sealed.unwrap_or_default(), now).await?,
    }
    store::replace_domains(db, scope, id, &wanted.mail_domains).await?;
    let saved = store::find(db, scope).await?.ok_or(SingleSignOnError::NotFound)?;
    let action = match stored {
        None => "identity_provider.created",
        Some(_) => "identity_provider.changed",
    };
    let details = json!({
        "before": stored.as_ref().map(details),
        "after": details(&saved),
        "is_secret_new": wanted.client_secret.is_some(),
    });
    audit::record(db, scope, event(action, &saved, details)).await?;
    Ok(saved)
}

/// With whom it means, and the sessions that it has opened.
pub async fn delete(db: &mut PgConnection, scope: &Scope) -> Result<(), SingleSignOnError> {
    members::store::lock(db, scope).await?;
    let stored = store::find(db, scope).await?.ok_or(SingleSignOnError::NotFound)?;
    store::delete(db, scope).await?;
    let details = details(&stored);
    audit::record(db, scope, event("identity_provider.deleted", &stored, details)).await?;
    Ok(())
}

fn details(provider: &Provider) -> serde_json::Value {
    let domains: Vec<_> = provider.mail_domains.iter().map(|domain| &domain.hostname).collect();
    json!({
        "issuer": provider.issuer.as_str(),
        "client_id": provider.client_id,
        "mail_domains": domains,
        "new_member_role": provider.new_member_role.map(Role::as_str),
    })
}

fn event(action: &'static str, provider: &Provider, details: serde_json::Value) -> audit::Event {
    audit::Event {
        action,
        subject: audit::Subject {
            kind: "identity_provider",
            id: provider.id,
            name: provider.issuer.as_str().to_owned(),
        },
        client_id: None,
        details,
    }
}

/// A provider as somebody comes by it. Has no `Debug`.
pub struct Door {
    pub provider_id: Uuid,
    pub organisation_id: Uuid,
    pub organisation: String,
    pub issuer: Issuer,
    pub client_id: String,
    pub client_secret: ClientSecret,
    pub new_member_role: Option<Role>,
}

/// The provider of the organisation that holds a mail domain now; only this one, if it is named.
///
/// # Errors
/// [`SingleSignOnError::DomainUnproved`] if there is one, and the domain's record for single sign-on is missing.
pub async fn door_of(
    db: &mut PgConnection,
    keyring: &Keyring,
    hostname: &str,
    provider_id: Option<Uuid>,
) -> Result<Option<Door>, SingleSignOnError> {
    let row = store::find_by_domain(db, Operator::signing_in(), hostname, provider_id).await?;
    let Some(row) = row else { return Ok(None) };
    if !row.signs_in {
        return Err(SingleSignOnError::DomainUnproved);
    }
    let secret = keyring.open(&context(row.identity_provider_id), &row.client_secret_sealed)?;
    Ok(Some(Door {
        provider_id: row.identity_provider_id,
        organisation_id: row.organisation_id,
        organisation: row.name,
        issuer: Issuer::stored(row.issuer),
        client_id: row.client_id,
        client_secret: ClientSecret(String::from_utf8(secret).map_err(|_| crate::sealed::SealError::Malformed)?),
        new_member_role: row.new_member_role.as_deref().and_then(Role::parse),
    }))
}

/// What a sealed client secret is bound to.
#[must_use]
pub fn context(identity_provider_id: Uuid) -> String {
    format!("identity_providers.client_secret:{identity_provider_id}")
}
