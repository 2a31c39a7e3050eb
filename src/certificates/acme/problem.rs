//! What a CA says is wrong (RFC 8555 §6.7), and everything else that can go wrong while it is asked.
use chrono::{DateTime, Utc};

/// A problem document (RFC 7807) of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Without `urn:ietf:params:acme:error:`; empty if there was no readable document.
    pub kind: String,
    /// Of the answer; 0 for a problem within an order, an authorization or a challenge.
    pub status: u16,
    /// The CA's own words, of bounded length.
    pub detail: String,
    pub subproblems: Vec<Problem>,
    /// When it may be asked again, if it says so: `Retry-After`, or the end of a `rateLimited` detail.
    pub retry_at: Option<DateTime<Utc>>,
}

/// A question to a CA that got no useful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    #[error("the CA can't be reached: {0}")]
    Unreachable(String),
    #[error("the CA did not answer in time")]
    Timeout,
    #[error("the CA's answer can't be read: {0}")]
    Malformed(String),
    #[error("the CA refused: {} {}", .0.kind, .0.detail)]
    Refused(Problem),
    /// This CA has no such thing in its directory (RFC 9773, RFC 8555 §7.6, profiles).
    #[error("the CA does not offer {0}")]
    NotOffered(&'static str),
}
