//! The half of the server that shares nothing with the other but memory.
use std::sync::Arc;

use anyhow::Result;
use prometheus::Registry;

use crate::{
    certificates::{Issuer, internal::InternalCa, resolver::Resolver},
    config::{Certificates, Settings},
    discovery::{directory::Directory, handler::Discovery, hit::Queue, metrics::Metrics},
    publisher::targets::Targets,
    sealed::Keyring,
};

/// The half that answers devices, from memory only.
pub struct Serving {
    pub discovery: Arc<Discovery>,
    pub resolver: Arc<Resolver>,
    pub issuer: Arc<Issuer>,
    pub own_hosts: Vec<String>,
    /// Whose certificates are served.
    issuer_name: String,
}

impl Serving {
    pub fn new(settings: &Settings, keyring: &Keyring, registry: &Registry) -> Result<Self> {
        let ca = InternalCa::open(&settings.state_dir, keyring, crate::clock::now())?;
        let discovery = Discovery {
            directory: Directory::default(),
            queue: Arc::new(Queue::default()),
            metrics: Metrics::register(registry)?,
            trusted_proxies: settings.trusted_proxies.clone(),
        };
        let issuer_name = match settings.certificates {
            Certificates::Internal => ca.name().to_owned(),
            Certificates::Acme => settings.acme.directory.to_string(),
        };
        Ok(Self {
            issuer_name,
            discovery: Arc::new(discovery),
            resolver: Arc::default(),
            issuer: Arc::new(Issuer::Internal(ca)),
            own_hosts: vec![settings.portal_host.to_string(), settings.edge_host.to_string()],
        })
    }

    pub fn targets(&self, keyring: &Arc<Keyring>) -> Targets {
        Targets {
            discovery: self.discovery.clone(),
            resolver: self.resolver.clone(),
            keyring: keyring.clone(),
            issuer: self.issuer_name.clone(),
            own_hosts: self.own_hosts.clone(),
            organisations: Arc::default(),
        }
    }
}
