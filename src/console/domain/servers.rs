//! The MDM servers of a domain's client, by names that tell them apart.
use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::policy_words::ServerNames;
use crate::{
    accounts::Scope,
    console::fault::Fault,
    domains::{
        Domain,
        servers::{self, StoredServer},
    },
};

/// More than any client has.
const MOST: i64 = 1_000;

pub async fn of_client(db: &mut PgConnection, scope: &Scope, domain: &Domain) -> Result<ServerNames, Fault> {
    let stored = servers::store::list(db, scope, Some(domain.client_id), None, MOST).await?;
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for server in &stored {
        *by_name.entry(&server.name).or_default() += 1;
    }
    let named = stored.iter().map(|server| {
        let is_alone = by_name.get(server.name.as_str()) == Some(&1);
        (
            server.id,
            if is_alone {
                server.name.clone()
            } else {
                long_name(server)
            },
        )
    });
    Ok(named.collect())
}

/// With where it is, since its name alone says too little.
fn long_name(server: &StoredServer) -> String {
    let configured = servers::configure(&server.vendor, &server.enrollment, &server.parameters).ok();
    let base_url = configured.as_ref().and_then(crate::vendors::Server::base_url);
    match base_url {
        Some(url) => format!("{} ({url})", server.name),
        None => format!("{} ({})", server.name, server.id),
    }
}
