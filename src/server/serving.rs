//! The half of the server that shares nothing with the other but memory.
use std::sync::{Arc, atomic::AtomicBool};

use anyhow::Result;
use prometheus::Registry;
use sqlx::PgPool;

use crate::{
    certificates::{Issuer, obtain::Obtainer, resolver::Resolver, served::Names, turns::Eligible, wanted::Wanted},
    config::Settings,
    discovery::{directory::Directory, handler::Discovery, metrics::Metrics},
    own_checks::{self, OwnChecks},
    publisher::targets::Targets,
    sealed::Keyring,
    work::clock_watch::ClockWatch,
};

/// The half that answers devices, from memory only.
pub struct Serving {
    pub discovery: Arc<Discovery>,
    pub resolver: Arc<Resolver>,
    pub issuer: Arc<Issuer>,
    pub own_hosts: Vec<String>,
}

impl Serving {
    pub fn new(settings: &Settings, issuer: Issuer, keyring: &Keyring, registry: &Registry) -> Result<Self> {
        let discovery = Discovery {
            directory: Directory::default(),
            metrics: Metrics::register(registry)?,
            trusted_proxies: settings.trusted_proxies.clone(),
            own_checks: OwnChecks::new(&keyring.derive_all(own_checks::KEY_PURPOSE)),
        };
        Ok(Self {
            discovery: Arc::new(discovery),
            resolver: Arc::default(),
            issuer: Arc::new(issuer),
            own_hosts: vec![settings.portal_host.to_string(), settings.edge_host.to_string()],
        })
    }

    /// What obtains the certificates.
    pub fn obtainer(
        &self,
        pool: &PgPool,
        keyring: Arc<Keyring>,
        wanted: Arc<Wanted>,
        clock: Arc<ClockWatch>,
    ) -> Obtainer {
        Obtainer {
            pool: pool.clone(),
            keyring,
            eligible: Eligible {
                issuer: self.issuer.name().to_owned(),
                own_hosts: self.own_hosts.clone(),
                connected_only: matches!(*self.issuer, Issuer::Acme(_)),
            },
            issuer: self.issuer.clone(),
            wanted,
            clock,
            board: Arc::default(),
            are_renewals_limited: AtomicBool::new(false),
        }
    }

    /// Whose certificates devices should see.
    pub fn names(&self) -> Names {
        Names {
            issuer: self.issuer.name().to_owned(),
            own_hosts: self.own_hosts.clone(),
        }
    }

    pub fn targets(&self, keyring: &Arc<Keyring>) -> Targets {
        Targets {
            discovery: self.discovery.clone(),
            resolver: self.resolver.clone(),
            keyring: keyring.clone(),
            issuer: self.issuer.name().to_owned(),
            own_hosts: self.own_hosts.clone(),
            organisations: Arc::default(),
        }
    }
}
