//! What a CA's validation is answered, by every node, from memory: tokens that some node asked for, and nothing else.
//!
//! Whoever orders a certificate stores what the CA will look for ([`store::offer`]) and waits until every live node
//! answers it ([`seen_by_all`]); only then is the CA told to look. The nodes share hostname, token and expiry: what is
//! answered each computes itself, from the account's key. Knows no order and speaks to no CA.
mod account;
mod answerable;
mod memory;
pub mod store;
pub mod watch;

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use crate::clock::DatabaseTime;

pub use account::key_authorization;
pub use memory::Challenges;

/// Where a CA looks that validates by HTTP-01 (RFC 8555 §8.3).
pub const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// What a server offers, alone, when it validates by TLS-ALPN-01 (RFC 8737 §3).
pub const ALPN: &[u8] = b"acme-tls/1";

/// Which of RFC 8555's challenges, as a CA names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeType {
    Http01,
    TlsAlpn01,
}

impl ChallengeType {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "http-01" => Some(Self::Http01),
            "tls-alpn-01" => Some(Self::TlsAlpn01),
            _ => None,
        }
    }
}

/// What a CA is going to look for.
pub struct Offer<'a> {
    pub issuer: &'a str,
    pub hostname: &'a str,
    pub token: &'a str,
    pub typ: ChallengeType,
    /// Answered until then at the longest.
    pub expires_at: DatabaseTime,
}

/// Between two looks whether every node answers.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until every live node answers the challenge; `false` if one does not before `patience` is over, or
/// if no node is alive at all.
pub async fn seen_by_all(pool: &PgPool, hostname: &str, token: &str, patience: Duration) -> Result<bool, sqlx::Error> {
    let deadline = Instant::now() + patience;
    loop {
        let is_seen = store::is_seen_by_all(&mut *pool.acquire().await?, hostname, token).await?;
        if is_seen || Instant::now() >= deadline {
            return Ok(is_seen);
        }
        tokio::time::sleep(LOOK).await;
    }
}
