//! Organisations and their people, as an operator sees them.
pub mod branding;
pub mod settings;
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Operator, Permission, Scope,
    email::Email,
    operators,
    people::{self, NewPerson},
    role::Role,
    token::{self, NewToken, TokenText},
};
use crate::{audit, clock::DatabaseTime, input::Name, sealed::Keyring};

#[derive(Debug)]
pub struct Organisation {
    pub id: Uuid,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub suspended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, thiserror::Error)]
pub enum OrganisationError {
    #[error("there is no such organisation")]
    NotFound,
    #[error("`{0}` is no e-mail address")]
    NotAnEmail(String),
    #[error("a name of 1 to 200 characters is needed")]
    NotAName,
    #[error("this e-mail address belongs to a user already")]
    EmailTaken,
    #[error(transparent)]
    Token(#[from] token::TokenError),
    #[error(transparent)]
    Seal(#[from] crate::sealed::SealError),
    #[error("the organisations could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for OrganisationError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("users_email_key") => Self::EmailTaken,
            _ => Self::Database(error),
        }
    }
}

/// What `create` made; the token's text is known this once.
pub struct Created {
    pub organisation_id: Uuid,
    pub user_id: Uuid,
    pub token: TokenText,
}

/// An organisation and its owner, as they are to be.
pub struct Founding<'a> {
    pub organisation: &'a str,
    /// The owner's.
    pub name: Option<&'a str>,
    pub email: &'a Email,
    pub password_hash: Option<&'a str>,
    /// An operator makes it; not a stranger who signs up.
    pub is_trusted: bool,
}

/// Makes an organisation, its owner and a token that may do everything for it.
pub async fn create(
    db: &mut PgConnection,
    operator: Operator,
    keyring: &Keyring,
    name: &str,
    email: &str,
) -> Result<Created, OrganisationError> {
    let email = Email::parse(email).map_err(|_| OrganisationError::NotAnEmail(email.to_owned()))?;
    let founding = Founding {
        organisation: name,
        name: None,
        email: &email,
        password_hash: None,
        is_trusted: true,
    };
    let (organisation_id, user_id) = found(db, keyring, founding, operator).await?;
    let new = NewToken {
        name: "First token".into(),
        scopes: Permission::ALL.into(),
        client_id: None,
        expires_at: None,
    };
    let (_, token) = token::create(db, &operator.scope(organisation_id), new).await?;
    Ok(Created {
        organisation_id,
        user_id,
        token,
    })
}

/// An operator vouches for an organisation that registered itself. Returns its name.
pub async fn trust(db: &mut PgConnection, operator: Operator, id: Uuid) -> Result<String, OrganisationError> {
    let scope = operator.scope(id);
    if !store::trust(db, operator, id).await? {
        return Err(OrganisationError::NotFound);
    }
    let name = settings::find(db, &scope).await?.name.into_string();
    let event = audit::Event {
        action: "organisation.trusted",
        subject: audit::Subject {
            kind: "organisation",
            id,
            name: name.clone(),
        },
        client_id: None,
        details: serde_json::json!({}),
    };
    audit::record(db, &scope, event).await?;
    Ok(name)
}

/// Makes an organisation and its owner. Returns their ids.
pub async fn found(
    db: &mut PgConnection,
    keyring: &Keyring,
    founding: Founding<'_>,
    operator: Operator,
) -> Result<(Uuid, Uuid), OrganisationError> {
    let name = Name::parse(founding.organisation).map_err(|_| OrganisationError::NotAName)?;
    let organisation_id = Uuid::now_v7();
    let digest_key = keyring.seal(&digest_key_context(organisation_id), &crate::sealed::random::<32>());
    store::insert(db, operator, organisation_id, name.as_str(), &digest_key).await?;
    if founding.is_trusted {
        store::trust(db, operator, organisation_id).await?;
    }
    let new = NewPerson {
        email: founding.email,
        name: founding.name,
        password_hash: founding.password_hash,
        is_email_unproved: false,
    };
    let user_id = people::create(db, keyring, new).await?;
    people::store::insert_membership(db, organisation_id, user_id, (Role::Owner, None)).await?;
    let subject = audit::Subject {
        kind: "organisation",
        id: organisation_id,
        name: name.into_string(),
    };
    let event = audit::Event {
        action: "organisation.created",
        subject,
        client_id: None,
        details: serde_json::json!({}),
    };
    audit::record(db, &operator.scope(organisation_id), event).await?;
    Ok((organisation_id, user_id))
}

/// Stops, or resumes, service for all domains of an organisation.
pub async fn set_suspended(
    db: &mut PgConnection,
    operator: Operator,
    organisation_id: Uuid,
    at: Option<DatabaseTime>,
) -> Result<Organisation, OrganisationError> {
    set_suspended_for(db, operator, organisation_id, at, None).await
}

/// The same, with the reason that stands in the organisation's own log.
pub async fn set_suspended_for(
    db: &mut PgConnection,
    operator: Operator,
    organisation_id: Uuid,
    at: Option<DatabaseTime>,
    reason: Option<&str>,
) -> Result<Organisation, OrganisationError> {
    let organisation = store::suspend(db, operator, organisation_id, at)
        .await?
        .ok_or(OrganisationError::NotFound)?;
    let subject = audit::Subject {
        kind: "organisation",
        id: organisation.id,
        name: organisation.name.clone(),
    };
    let action = if at.is_some() {
        "organisation.suspended"
    } else {
        "organisation.resumed"
    };
    audit::record(
        db,
        &operator.scope(organisation_id),
        audit::Event {
            action,
            subject,
            client_id: None,
            details: operators::details(operator, reason),
        },
    )
    .await?;
    Ok(organisation)
}

/// Keys the digests that stand in the request log for who asked.
pub async fn digest_key(db: &mut PgConnection, keyring: &Keyring, scope: &Scope) -> Result<Vec<u8>, OrganisationError> {
    let sealed = store::find_digest_key(db, scope).await?;
    let sealed = sealed.ok_or(OrganisationError::NotFound)?;
    Ok(keyring.open(&digest_key_context(scope.organisation_id()), &sealed)?)
}

/// What the sealed digest key of an organisation is bound to.
#[must_use]
pub fn digest_key_context(organisation_id: Uuid) -> String {
    format!("organisations.user_digest_key:{organisation_id}")
}

/// What a user's sealed address is bound to.
#[must_use]
pub fn email_context(user_id: Uuid) -> String {
    format!("users.email:{user_id}")
}

/// What a secret of the whole installation is bound to.
#[must_use]
pub fn secret_context(name: &str) -> String {
    format!("secrets:{name}")
}
