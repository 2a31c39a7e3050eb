//! The registry of hostnames: which client claims each, who of them owns it, what it answers, whether devices
//! reach us, and what is to be done until they do. Knows nothing of HTTP or HTML.
mod certified;
pub mod checks;
pub mod connection;
pub mod imports;
pub mod intake;
pub mod lists;
pub mod next_action;
pub mod ownership;
pub mod policy;
pub mod probes;
mod registration_rules;
mod registry;
mod rows;
pub mod servers;
pub mod share_links;
pub mod standing;
pub mod statistics;
pub mod status;
pub mod store;
pub mod told;
pub mod warnings;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{audit, dns::Failure, hostname::Hostname, input::WebUrl, vendors};
pub use certified::{CaWords, CertificateFacts, CertificateState, Failed, Obtaining, Served};
pub use connection::Connection;
use connection::Observation;
use ownership::claims::{Claim, Rival};
use policy::{Action, Policy, Rule};
pub use registration_rules::RegistrationRules;
pub use registry::{Allowance, delete, delete_some, find_to_change, register, register_within, update, verify};

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
    pub claim: Claim,
    pub rival: Rival,
    /// When another organisation takes the name over from this claim, which holds it.
    pub contested_until: Option<DateTime<Utc>>,
    pub seen: Seen,
    /// The Microsoft Entra tenants that its policy sends devices to.
    pub tenant_ids: Vec<Uuid>,
    pub suspended_at: Option<DateTime<Utc>>,
    /// Of every issuer that gave one; see [`Domain::certificate`].
    pub certificates: Vec<CertificateFacts>,
    pub obtaining: Vec<Obtaining>,
    /// As each node was last seen from outside; see [`Domain::served`].
    pub served: Vec<Served>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What the last looks from outside saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What stood at the ownership record's name.
    pub ownership_observed: Vec<String>,
    /// Another name, at which the record stands by mistake.
    pub ownership_misplaced: Option<String>,
    /// Why the last look at it told nothing.
    pub ownership_failure: Option<Failure>,
    pub connection_checked_at: Option<DateTime<Utc>>,
    pub observation: Option<Observation>,
    /// The last time that devices reached us.
    pub connected_at: Option<DateTime<Utc>>,
    pub tenant_checked_at: Option<DateTime<Utc>>,
    /// What Microsoft Entra publishes for the hostname.
    pub tenant_id: Option<Uuid>,
    /// Since when looks are quick.
    pub quick_since: DateTime<Utc>,
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
    #[error("{0} is already registered in this organisation")]
    HostnameTaken(String),
    #[error("{0} is a name of Signpost's own")]
    OwnHost(String),
    #[error("there is no such domain")]
    NotFound,
    #[error("several organisations claim it: say which one owns it with --organisation. They are {0}")]
    SeveralClaims(String),
    #[error("there is no MDM server {0} of this client")]
    NoSuchServer(Uuid),
    #[error("there is no such MDM server")]
    ServerNotFound,
    #[error("a domain's policy still names this MDM server: change the policy first")]
    ServerInUse,
    #[error("too many domains are being looked at for people at this moment: try again in ten seconds")]
    Busy,
    #[error(
        "this organisation has {unverified} domains that are not verified yet, and may have {limit}: add their TXT records, \
         or delete those that you don't need. The limit grows with each domain that is verified"
    )]
    TooManyUnverified { unverified: i64, limit: i64 },
    #[error("a stored row can't be read: {0}")]
    Stored(String),
    #[error("the domains could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DomainError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("policy_servers_server_fkey") => Self::ServerInUse,
            // Two proved one name at the same moment: the next look tells who holds it.
            Some("domains_holder_key") => Self::Busy,
            _ => Self::Database(error),
        }
    }
}

fn subject(id: Uuid, hostname: &str) -> audit::Subject {
    audit::Subject {
        kind: "domain",
        id,
        name: hostname.to_owned(),
    }
}
