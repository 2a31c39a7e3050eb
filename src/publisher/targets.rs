//! Where records go: the directory of discovery and the certificates of the listeners.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

use super::{
    entry::{UnreadableRow, entry},
    record::{CertificateRecord, DomainRecord, Record},
};
use crate::{
    accounts::organisations::digest_key_context,
    certificates::resolver::{Resolver, UnusableCertificate},
    discovery::{directory::Organisation, handler::Discovery},
    hostname::Hostname,
    sealed::{Keyring, SealError},
};

/// What the publisher keeps fresh.
#[derive(Clone)]
pub struct Targets {
    pub discovery: Arc<Discovery>,
    pub resolver: Arc<Resolver>,
    pub keyring: Arc<Keyring>,
    /// Certificates of this issuer only.
    pub issuer: String,
    pub own_hosts: Vec<String>,
    pub organisations: Organisations,
}

/// Organisations whose key was opened, with the sealed key that it came from. Domains share them.
pub type Organisations = Arc<Mutex<HashMap<Uuid, (Vec<u8>, Arc<Organisation>)>>>;

#[derive(Debug, thiserror::Error)]
enum Unpublishable {
    #[error(transparent)]
    Row(#[from] UnreadableRow),
    #[error("the organisation's key: {0}")]
    Key(#[from] SealError),
    #[error("the certificate: {0}")]
    Certificate(#[from] UnusableCertificate),
}

impl Targets {
    /// Serves `record` from now on. What can't be served is a warning, and what was served before stays.
    pub fn publish(&self, record: Record) {
        let hostname = record.hostname.clone();
        if let Err(error) = self.try_publish(record) {
            tracing::warn!(domain.hostname = hostname, %error, "not published");
        }
    }

    fn try_publish(&self, record: Record) -> Result<(), Unpublishable> {
        let Some(domain) = record.domain else {
            return match record.certificate {
                Some(certificate) => {
                    Ok(self
                        .resolver
                        .put_own(&self.keyring, &self.issuer, &record.hostname, certificate.into())?)
                }
                None => Ok(()),
            };
        };
        let hostname = Hostname::parse(&record.hostname).map_err(UnreadableRow::from)?;
        // The certificate first: a hostname that can't be reached yet is better than one that fails.
        match record.certificate {
            Some(certificate) => {
                self.resolver
                    .put(&self.keyring, &self.issuer, hostname.clone(), certificate.into())?
            }
            None => self.resolver.remove(hostname.as_str()),
        }
        let organisation = self.organisation(&domain)?;
        self.discovery.directory.put(entry(hostname, &domain, organisation)?);
        Ok(())
    }

    pub fn remove(&self, hostname: &str) {
        self.discovery.directory.remove(hostname);
        self.resolver.remove(hostname);
    }

    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.discovery.directory.retain(|hostname| keep(hostname.as_str()));
        self.resolver.retain(|hostname| keep(hostname.as_str()));
    }

    fn organisation(&self, domain: &DomainRecord) -> Result<Arc<Organisation>, SealError> {
        let mut known = self.organisations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sealed, organisation)) = known.get(&domain.organisation_id)
            && *sealed == domain.user_digest_key
        {
            return Ok(organisation.clone());
        }
        let key = self
            .keyring
            .open(&digest_key_context(domain.organisation_id), &domain.user_digest_key)?;
        let organisation = Arc::new(Organisation::new(domain.organisation_id, &key));
        known.insert(
            domain.organisation_id,
            (domain.user_digest_key.clone(), organisation.clone()),
        );
        Ok(organisation)
    }
}

impl From<CertificateRecord> for crate::certificates::Stored {
    fn from(record: CertificateRecord) -> Self {
        Self {
            chain: record.chain,
            key_sealed: record.key_sealed,
            not_after: record.not_after,
        }
    }
}
