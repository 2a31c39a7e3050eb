//! Gathers the facts about one domain: asks DNS, the domain's web server, and Microsoft Entra. Decides nothing.
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    dns::{Dns, Failure},
    domains::{
        Connection, Domain,
        connection::{Observation, Records},
        ownership::{proof::Look, record_name, record_value},
    },
    entra::Entra,
    hostname::Hostname,
};

/// Whoever is asked.
pub struct Looks {
    pub dns: Dns,
    pub entra: Entra,
    /// A person who looks a tenant up must not wait behind these looks.
    pub turns_at_entra: Semaphore,
}

/// What one look saw. `None`: not looked at, or no answer.
pub struct Seen {
    pub ownership: Look,
    pub observation: Option<Observation>,
    /// What Microsoft Entra publishes: `Some(None)` when it knows no such domain.
    pub tenant_id: Option<Option<Uuid>>,
}

impl Looks {
    /// At everything at once.
    pub async fn look(&self, domain: &Domain, hostname: &Hostname, is_tenant_due: bool) -> Seen {
        let (ownership, observation, tenant_id) = tokio::join!(
            self.ownership(domain, hostname),
            self.connection(domain, hostname),
            self.tenant(domain, hostname, is_tenant_due)
        );
        Seen {
            ownership,
            observation,
            tenant_id,
        }
    }

    /// Only of a domain whose devices are sent to a tenant. Entra away changes nothing.
    async fn tenant(&self, domain: &Domain, hostname: &Hostname, is_due: bool) -> Option<Option<Uuid>> {
        if !is_due || domain.tenant_ids.is_empty() {
            return None;
        }
        let _turn = self.turns_at_entra.acquire().await.ok()?;
        let found = self.entra.lookup(hostname).await.ok()?;
        Some(found.map(|tenant| tenant.tenant_id))
    }

    async fn ownership(&self, domain: &Domain, hostname: &Hostname) -> Look {
        let value = record_value(&domain.ownership_key, hostname.as_str());
        Look::new(&value, self.dns.txt(&record_name(hostname.as_str())).await)
    }

    async fn connection(&self, domain: &Domain, hostname: &Hostname) -> Option<Observation> {
        match domain.connection {
            Connection::Direct => {
                let (addresses, caa) =
                    tokio::join!(self.dns.addresses(hostname.as_str()), self.dns.caa(hostname.as_str()));
                let dangling = match addresses.a {
                    Err(Failure::NoSuchName) => self.dns.alias(hostname.as_str()).await.ok().flatten(),
                    _ => None,
                };
                Some(Observation::Records(Records {
                    a: addresses.a,
                    aaaa: addresses.aaaa,
                    caa,
                    dangling,
                    probe: None,
                }))
            }
            Connection::Redirect | Connection::Proxy => None,
        }
    }
}
