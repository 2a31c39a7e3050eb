//! Single sign-on: an organisation names its OpenID provider, and the provider says who somebody is. Its word counts for
//! that organisation, for people of mail domains that the organisation has proved for single sign-on, and for nothing else: whoever runs a
//! provider gets no key to what its people have elsewhere.
//!
//! Nothing here asks a provider; `oidc` does, and hands over what was verified.
mod admission;
pub mod attempts;
mod claims;
mod issuer;
pub mod mail_domains;
mod providers;
pub mod store;

pub use admission::admit;
pub use attempts::{Begun, Taken, begin, context as attempt_context, take};
pub use claims::{Claims, NoAddress, Refusal, mail_domain};
pub use issuer::Issuer;
pub use mail_domains::{MailDomain, MailDomains};
pub use providers::{
    ClientSecret, Door, Provider, Typed, Wanted, check, context as secret_context, delete, door_of, find, redirect_url,
    save,
};

use super::{members::MemberError, organisations::OrganisationError};
use crate::{input::FieldError, sealed::SealError};

#[derive(Debug, thiserror::Error)]
pub enum SingleSignOnError {
    #[error("no single sign-on is set up")]
    NotFound,
    /// What was typed can't be so; pointers as the API has them.
    #[error("the single sign-on is not right yet")]
    Invalid(Vec<FieldError>),
    #[error("the domain's record for single sign-on was not found yet")]
    DomainUnproved,
    #[error("another check is running: try again in a minute")]
    Busy,
    #[error("this person is not let in")]
    Refused(Refusal),
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the single sign-on could not be read or written")]
    Database(#[from] sqlx::Error),
}
