//! What lies in the spool: hits with their names resolved, nothing that points into memory.
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::discovery::{
    hit::{About, Hit, Outcome, Stranger, UserDigest},
    query::Asked,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A row and one count.
    Hit(Row),
    /// A row alone: requests for unknown domains are counted apart.
    Stranger(Row),
    /// So many requests for unknown domains.
    StrangerCount { at: i64, model_family: Label, count: u64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Microseconds since 1970.
    pub at: i64,
    pub owner: Option<Owner>,
    pub hostname: String,
    pub model_family: Label,
    pub user: Option<UserDigest>,
    pub outcome: Label,
    pub status: u16,
    pub server_id: Option<Uuid>,
    pub user_agent: Option<String>,
    pub client_network: String,
    pub tls: Option<Label>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub organisation_id: Uuid,
    pub client_id: Uuid,
    pub domain_id: Uuid,
}

/// A word of a small vocabulary, stored as text so that an older spool stays readable.
pub type Label = std::borrow::Cow<'static, str>;

impl From<Hit> for Record {
    fn from(hit: Hit) -> Self {
        let owner = Owner {
            organisation_id: hit.entry.organisation.organisation_id,
            client_id: hit.entry.client_id,
            domain_id: hit.entry.domain_id,
        };
        let base = row(&hit.about, hit.entry.hostname.to_string(), hit.outcome, hit.status);
        Self::Hit(Row {
            owner: Some(owner),
            user: hit.user,
            server_id: hit.server_id,
            ..base
        })
    }
}

impl From<Stranger> for Record {
    fn from(stranger: Stranger) -> Self {
        Self::Stranger(row(
            &stranger.about,
            stranger.hostname.into(),
            Outcome::UnknownDomain,
            404,
        ))
    }
}

impl Record {
    #[must_use]
    pub fn stranger_count(at: i64, asked: Asked, count: u64) -> Self {
        Self::StrangerCount {
            at,
            model_family: asked.as_str().into(),
            count,
        }
    }
}

fn row(about: &About, hostname: String, outcome: Outcome, status: u16) -> Row {
    let user_agent = about.user_agent.as_bytes();
    Row {
        at: about.at,
        owner: None,
        hostname,
        model_family: about.asked.as_str().into(),
        user: None,
        outcome: outcome.as_str().into(),
        status,
        server_id: None,
        // A NUL can't be stored as text, and a header can't hold one.
        user_agent: (!user_agent.is_empty()).then(|| String::from_utf8_lossy(user_agent).into_owned()),
        client_network: about.network.to_string(),
        tls: about.tls.map(|tls| tls.as_str().into()),
    }
}
