//! With what the world outside is asked, and what must be seen of our domains there.
use anyhow::Result;

use super::issuing;

use crate::{
    config::Settings,
    dns::Dns,
    domains::connection::{Expected, authority_of},
    outbound::Outbound,
};

#[derive(Clone)]
pub struct Outside {
    pub dns: Dns,
    pub outbound: Outbound,
    pub expected: Expected,
}

impl Outside {
    /// `issuer`: whose certificates count.
    pub fn new(settings: &Settings, issuer: &str) -> Result<Self> {
        Ok(Self {
            dns: Dns::new(&settings.dns_servers)?,
            outbound: outbound(settings),
            expected: Expected {
                addresses: settings.edge_addresses.clone(),
                edge_host: settings.edge_host.to_string(),
                edge_port: settings.public_https_port,
                // Also in a trial: what would stop the CA later is said now.
                authority: authority_of(&settings.acme.directory),
                validation_method: issuing::challenge(settings.acme.challenge).as_str(),
                account_url: None,
                issuer: issuer.to_owned(),
            },
        })
    }
}

pub fn outbound(settings: &Settings) -> Outbound {
    let ports = vec![settings.public_http_port, settings.public_https_port];
    Outbound::new(settings.outbound_allow.clone(), ports)
}
