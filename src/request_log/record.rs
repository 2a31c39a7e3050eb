//! What lies in the spool: requests with their names resolved, nothing that points into memory.
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

pub use crate::discovery::hit::Network;
use crate::discovery::{
    hit::{About, Hit, Outcome, Stranger, UserDigest},
    query::Asked,
};

/// Of the `User-Agent` header.
const MAX_USER_AGENT: usize = 120;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// A row and one count.
    Hit(Row<'a>),
    /// A row alone: requests for unknown domains are counted apart.
    Stranger(Row<'a>),
    /// So many requests for unknown domains.
    StrangerCount { at: i64, model_family: Label, count: u64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<'a> {
    /// Microseconds since 1970.
    pub at: i64,
    pub owner: Option<Owner>,
    pub hostname: Cow<'a, str>,
    pub model_family: Label,
    pub user: Option<UserDigest>,
    pub outcome: Label,
    pub status: u16,
    pub server_id: Option<Uuid>,
    pub user_agent: Option<Cow<'a, str>>,
    #[serde(serialize_with = "write_network", deserialize_with = "read_network")]
    pub client_network: Network,
    pub tls: Option<Label>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub organisation_id: Uuid,
    pub client_id: Uuid,
    pub domain_id: Uuid,
}

/// A word of a small vocabulary, stored as text so that an older spool stays readable.
pub type Label = Cow<'static, str>;

impl<'a> From<&'a Hit<'a>> for Record<'a> {
    fn from(hit: &'a Hit<'a>) -> Self {
        let owner = Owner {
            organisation_id: hit.entry.organisation.organisation_id,
            client_id: hit.entry.client_id,
            domain_id: hit.entry.domain_id,
        };
        let base = row(&hit.about, hit.entry.hostname.as_str(), hit.outcome, hit.status);
        Self::Hit(Row {
            owner: Some(owner),
            user: hit.user,
            server_id: hit.server_id,
            ..base
        })
    }
}

impl<'a> From<&'a Stranger<'a>> for Record<'a> {
    fn from(stranger: &'a Stranger<'a>) -> Self {
        Self::Stranger(row(&stranger.about, stranger.hostname, Outcome::UnknownDomain, 404))
    }
}

impl Record<'_> {
    #[must_use]
    pub fn stranger_count(at: i64, asked: Asked, count: u64) -> Self {
        Self::StrangerCount {
            at,
            model_family: asked.as_str().into(),
            count,
        }
    }
}

fn row<'a>(about: &About<'a>, hostname: &'a str, outcome: Outcome, status: u16) -> Row<'a> {
    let user_agent = &about.user_agent[..about.user_agent.len().min(MAX_USER_AGENT)];
    Row {
        at: about.at,
        owner: None,
        hostname: hostname.into(),
        model_family: about.asked.as_str().into(),
        user: None,
        outcome: outcome.as_str().into(),
        status,
        server_id: None,
        // A NUL can't be stored as text, and a header can't hold one.
        user_agent: (!user_agent.is_empty()).then(|| String::from_utf8_lossy(user_agent)),
        client_network: about.network,
        tls: about.tls.map(|tls| tls.as_str().into()),
    }
}

fn write_network<S: Serializer>(network: &Network, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(network)
}

fn read_network<'de, D: Deserializer<'de>>(from: D) -> Result<Network, D::Error> {
    let text = <Cow<'_, str>>::deserialize(from)?;
    text.parse().map_err(de::Error::custom)
}
