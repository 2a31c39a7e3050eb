//! Share links: whoever holds one sees one domain's steps and state, without an account. It can be revoked, it
//! expires, and it gives no scope: nothing can be changed with it, and nothing else be seen.
pub mod store;

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Domain, DomainError, registry::record};
use crate::{
    accounts::{
        Operator, Scope,
        organisations::{
            OrganisationError,
            branding::{self, Branding, logo::Logo},
        },
        token::random_characters,
    },
    audit,
    clock::DatabaseTime,
};

const PREFIX: &str = "sgs_";

/// Links of one domain that are in force.
pub const MAX_LINKS: i64 = 20;

/// A link's secret. Has no `Debug`; it is shown once and then only its digest is known.
pub struct LinkToken(String);

impl LinkToken {
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{PREFIX}{}", random_characters()))
    }

    /// `None` for what is no token of ours, without asking the database.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(PREFIX)?;
        let is_ours = random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_ours.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref().to_vec()
    }
}

/// How long a link is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(TimeDelta);

impl Lifetime {
    pub const DEFAULT_DAYS: i64 = 30;

    pub fn of_days(days: i64) -> Result<Self, &'static str> {
        match days {
            1..=90 => Ok(Self(TimeDelta::days(days))),
            _ => Err("must be a number from 1 to 90"),
        }
    }
}

/// A stored link: everything but its token.
#[derive(Debug)]
pub struct ShareLink {
    pub id: Uuid,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Proof that somebody holds a link in force. Shows the one domain.
pub struct OpenLink {
    organisation_id: Uuid,
    client_id: Uuid,
    domain_id: Uuid,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum ShareLinkError {
    #[error("there is no such share link")]
    NotFound,
    #[error("a domain may have at most {MAX_LINKS} share links: revoke one that is not used")]
    TooMany,
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error("the share links could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// Makes a link and writes it down. The token is returned this once.
pub async fn create(
    db: &mut PgConnection,
    scope: &Scope,
    domain: &Domain,
    lifetime: Lifetime,
    now: DatabaseTime,
) -> Result<(ShareLink, LinkToken), ShareLinkError> {
    let client = scope.client(db, domain.client_id).await;
    let client = client.map_err(|_| DomainError::NotFound)?;
    // Two that are made at once are counted one after the other.
    super::store::lock(db, scope, domain.id).await?;
    store::delete_expired(db, &client, domain.id, now).await?;
    if store::count(db, &client, domain.id).await? >= MAX_LINKS {
        return Err(ShareLinkError::TooMany);
    }
    let token = LinkToken::random();
    let link = ShareLink {
        id: Uuid::now_v7(),
        created_at: now.get(),
        expires_at: now.get() + lifetime.0,
    };
    store::insert(db, &client, domain.id, &link, &token).await?;
    let details = json!({ "domain_id": domain.id, "expires_at": link.expires_at });
    record(db, &client, "share_link.created", subject(link.id, domain), details).await?;
    Ok((link, token))
}

/// Revokes a link: it shows nothing any more from the commit on.
pub async fn revoke(
    db: &mut PgConnection,
    scope: &Scope,
    domain: &Domain,
    link_id: Uuid,
) -> Result<(), ShareLinkError> {
    let client = scope.client(db, domain.client_id).await;
    let client = client.map_err(|_| DomainError::NotFound)?;
    if !store::delete(db, &client, domain.id, link_id).await? {
        return Err(ShareLinkError::NotFound);
    }
    let details = json!({ "domain_id": domain.id });
    record(db, &client, "share_link.revoked", subject(link_id, domain), details).await?;
    Ok(())
}

fn subject(link_id: Uuid, domain: &Domain) -> audit::Subject {
    audit::Subject {
        kind: "share_link",
        id: link_id,
        name: domain.hostname.clone(),
    }
}

/// The domain that a link shows at `now`, and until when. Unknown, revoked and expired are one and the same:
/// `NotFound`.
pub async fn open(
    db: &mut PgConnection,
    token: &LinkToken,
    now: DatabaseTime,
) -> Result<(Domain, DateTime<Utc>), ShareLinkError> {
    let link = store::find_open(db, token, now)
        .await?
        .ok_or(ShareLinkError::NotFound)?;
    let domain = store::find_domain(db, &link).await?.ok_or(ShareLinkError::NotFound)?;
    Ok((domain, link.expires_at))
}

/// What the organisation that made a link says of itself.
pub async fn sender(db: &mut PgConnection, token: &LinkToken, now: DatabaseTime) -> Result<Branding, ShareLinkError> {
    let scope = whose(db, token, now).await?;
    Ok(branding::find(db, &scope).await?)
}

/// Its logo, if it has one.
pub async fn logo(db: &mut PgConnection, token: &LinkToken, now: DatabaseTime) -> Result<Option<Logo>, ShareLinkError> {
    let scope = whose(db, token, now).await?;
    Ok(branding::find_logo(db, &scope).await?)
}

async fn whose(db: &mut PgConnection, token: &LinkToken, now: DatabaseTime) -> Result<Scope, ShareLinkError> {
    let link = store::find_open(db, token, now)
        .await?
        .ok_or(ShareLinkError::NotFound)?;
    Ok(Operator::checking().scope(link.organisation_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_shape_and_each_is_another() {
        let token = LinkToken::random();
        assert_eq!(token.expose().len(), 36);
        assert_eq!(
            LinkToken::parse(token.expose()).map(|parsed| parsed.digest()),
            Some(token.digest())
        );
        assert_ne!(token.digest(), LinkToken::random().digest());
        let random = "a".repeat(32);
        for text in [
            String::new(),
            PREFIX.to_owned(),
            format!("{PREFIX}{}", &random[1..]),
            format!("{PREFIX}{random}a"),
            format!("sgp_{random}"),
            format!("{PREFIX}{}-", &random[1..]),
            format!("{PREFIX}{}", "é".repeat(16)),
        ] {
            assert!(LinkToken::parse(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_link_is_in_force_for_one_to_ninety_days() {
        for days in [i64::MIN, -1, 0, 91, i64::MAX] {
            assert!(Lifetime::of_days(days).is_err(), "{days}");
        }
        for days in [1, Lifetime::DEFAULT_DAYS, 90] {
            assert_eq!(Lifetime::of_days(days), Ok(Lifetime(TimeDelta::days(days))));
        }
    }
}
