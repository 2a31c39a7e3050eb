//! What a device would get of a policy, whether it is stored already or not: decided by the very code that answers
//! devices. Makes no row in the request log.
use std::collections::HashMap;

use sqlx::PgConnection;

use super::{UnreadableRow, preview_entry};
use crate::{
    accounts::Scope,
    discovery::{
        handler::{self, Decision},
        policy::Matched,
        query::Query,
    },
    domains::{DomainError, policy::Policy, servers},
    hostname::Hostname,
};

/// As whom and on what somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Device<'a> {
    pub user_identifier: Option<&'a str>,
    pub model_family: Option<&'a str>,
}

/// What the device would get.
#[derive(Debug)]
pub struct Preview {
    pub status: u16,
    pub body: Option<serde_json::Value>,
    /// Where it is redirected, with its query.
    pub location: Option<String>,
    pub matched: Matched,
}

#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error(transparent)]
    Unreadable(#[from] UnreadableRow),
}

/// What `policy` of the domain `hostname` tells `device`.
pub async fn preview(
    db: &mut PgConnection,
    scope: &Scope,
    hostname: &str,
    policy: &Policy,
    device: &Device<'_>,
) -> Result<Preview, PreviewError> {
    let mut servers = HashMap::new();
    for server_id in policy.server_ids() {
        let stored = servers::store::find(db, scope, server_id)
            .await?
            .ok_or(DomainError::ServerNotFound)?;
        servers.insert(server_id, stored.configure()?.server);
    }
    let hostname = Hostname::parse(hostname).map_err(UnreadableRow::from)?;
    let entry = preview_entry(hostname, policy, &servers)?;
    let query = device.query();
    let parsed = Query::parse(&query);
    let decision = handler::decide(&entry, parsed.asked.family(), parsed.user());
    Ok(Preview::new(&decision, &query))
}

impl Device<'_> {
    /// The query that it would send.
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(user) = self.user_identifier {
            query.append_pair("user-identifier", user);
        }
        if let Some(family) = self.model_family {
            query.append_pair("model-family", family);
        }
        // A form's `+` is a space; discovery takes `+` as it stands.
        query.finish().replace('+', "%20")
    }
}

impl Preview {
    fn new(decision: &Decision<'_>, query: &str) -> Self {
        Self {
            status: decision.status.as_u16(),
            body: decision.body.and_then(|body| serde_json::from_slice(body).ok()),
            location: decision.location.map(|url| handler::with_query(url, query)),
            matched: decision.matched,
        }
    }
}
