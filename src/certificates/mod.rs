//! Certificates for every hostname: obtained and renewed in the background, sealed at rest, chosen
//! by server name from memory. A handshake never waits for a CA or the database.
//!
//! Words are RFC 8555's. Decisions are pure functions of (facts, now); everything is keyed by the
//! issuer, so that a certificate of a trial CA is never served where another is configured.
pub mod account;
pub mod acme;
pub mod challenges;
pub mod decisions;
pub mod expiry;
pub mod failure;
pub mod internal;
pub mod nodes;
pub mod obtain;
pub mod orders;
pub mod resolver;
pub mod revocations;
pub mod served;
mod signing;
pub mod standing;
pub mod store;
pub mod suggestions;
mod told;
pub mod turns;
pub mod wanted;

use chrono::{DateTime, Utc};

/// Who signs our certificates. The one seam: another kind of issuer is another variant.
pub enum Issuer {
    Internal(Box<internal::InternalCa>),
    Acme(Box<orders::Orders>),
}

impl Issuer {
    /// What its certificates are stored under: tells two CAs apart, also two of a kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Internal(ca) => ca.name(),
            Self::Acme(orders) => orders.issuer(),
        }
    }
}

/// A certificate fresh from an issuer. Has no `Debug`: it holds a private key.
pub struct Issued {
    /// DER, the leaf first, the root left out.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8.
    pub key: Vec<u8>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the certificate could not be made: {0}")]
    Internal(#[from] rcgen::Error),
}

/// What a private key's column is sealed for.
#[must_use]
pub fn key_context(hostname: &str, issuer: &str) -> String {
    format!("certificates.key:{issuer}:{hostname}")
}

/// A certificate as it is stored.
pub struct Stored {
    pub chain: Vec<Vec<u8>>,
    pub key_sealed: Vec<u8>,
    /// Seconds since 1970.
    pub not_after: i64,
}
