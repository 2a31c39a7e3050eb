//! One certificate from an ACME CA: looked at before the CA is asked, ordered, validated, finalized, fetched. What was
//! done is stored before the next step, so that whichever node has the next turn goes on where this one stopped.
mod attempt;
mod certified;
mod hello;
mod preflight;
mod reservation;
mod settle;
pub mod store;
mod validation;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    account::{AccountError, Accounts},
    acme::{CaError, Problem},
    challenges::ChallengeType,
    decisions::budget::Limits,
    failure::{During, Failure},
};
use crate::sealed::{Keyring, SealError};
pub use attempt::Attempt;
pub use preflight::Preflight;

/// Everything that an order needs.
pub struct Orders {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub accounts: Accounts,
    pub preflight: Preflight,
    pub challenge: ChallengeType,
    pub profile: Option<String>,
    /// The CA's.
    pub limits: Limits,
    /// How long every node may take to know a challenge.
    pub patience: Duration,
}

/// An order that is not finished. Has no `Debug`: its key is sealed, and still nobody's business.
pub struct Open {
    pub order_id: Uuid,
    pub key_sealed: Vec<u8>,
    /// Where it is at the CA; none: it was about to be placed.
    pub url: Option<String>,
    pub replaces: Option<String>,
    pub profile: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// An order that is about to be placed.
pub struct Reservation {
    pub order_id: Uuid,
    pub registered_domain: String,
    pub key_sealed: Vec<u8>,
    pub replaces: Option<String>,
    pub profile: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// The certificate in force.
pub struct Current {
    /// DER.
    pub leaf: Vec<u8>,
    pub not_after: DateTime<Utc>,
    pub urgent_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Issued,
    /// A validation failed.
    Invalid,
    /// The CA refused it, and validated nothing.
    Refused,
    /// We let go of it.
    GivenUp,
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
        }
    }
}

/// Why an attempt ended without a certificate.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("another node has the turn")]
    Lost,
    /// Before the CA was asked.
    #[error("{0}")]
    Preflight(Failure),
    /// A limit of the CA's, or of ours, is reached.
    #[error("{failure}")]
    Wait { failure: Failure, until: DateTime<Utc> },
    #[error("{0}")]
    Ca(CaError, During),
    #[error("the CA has not ended its validation")]
    Pending,
    /// The CA's validation, or the order, failed: its words.
    #[error("the order failed: {} {}", .0.kind, .0.detail)]
    Invalid(Problem),
    /// The certificate is not what was ordered.
    #[error("{0}")]
    Unusable(String),
    #[error("a stored key does not open: {0}")]
    Sealed(#[from] SealError),
    #[error("the orders could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// Most questions are about an order that stands.
impl From<CaError> for Stop {
    fn from(error: CaError) -> Self {
        Self::Ca(error, During::Order)
    }
}

impl From<AccountError> for Stop {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Ca(error) => Self::Ca(error, During::Account),
            AccountError::Sealed(error) => Self::Sealed(error),
            AccountError::Key => Self::Unusable("The key of the ACME account can't be used.".to_owned()),
            AccountError::Database(error) => Self::Database(error),
        }
    }
}

/// What the key of an order is sealed for; a certificate's is [`super::key_context`].
#[must_use]
pub fn key_context(order_id: Uuid) -> String {
    format!("acme_orders.key:{order_id}")
}

impl Orders {
    /// The issuer's name, by which everything is stored.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.accounts.ca.name()
    }
}
