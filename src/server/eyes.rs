//! What looks at the world outside: names, strangers' servers, Microsoft's tenants.
use anyhow::Result;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::{
    config::Settings,
    dns::Dns,
    domains::{
        checks::{Checker, looks::Looks},
        connection::{Expected, authority_of},
    },
    entra::Entra,
    outbound::Outbound,
};

pub struct Eyes {
    pub dns: Dns,
    pub entra: Entra,
}

impl Eyes {
    pub fn new(settings: &Settings) -> Result<Self> {
        let dns = Dns::new(&settings.dns_servers)?;
        let ports = vec![settings.public_http_port, settings.public_https_port];
        let outbound = Outbound::new(settings.outbound_allow.clone(), ports);
        let entra = Entra::new(outbound, dns.clone(), &settings.entra_urls);
        Ok(Self { dns, entra })
    }

    /// What looks at domains, and what it must see.
    pub fn checker(&self, settings: &Settings, pool: &PgPool) -> Checker {
        Checker {
            pool: pool.clone(),
            looks: Looks {
                dns: self.dns.clone(),
                entra: self.entra.clone(),
                turns_at_entra: Semaphore::new(4),
            },
            expected: Expected {
                addresses: settings.edge_addresses.clone(),
                edge_host: settings.edge_host.to_string(),
                // Also in a trial: what would stop the CA later is said now.
                authority: authority_of(&settings.acme.directory),
            },
        }
    }
}
