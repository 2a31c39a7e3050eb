//! Gathers the facts about one domain: asks DNS, the domain's web server, and Microsoft Entra. Decides nothing.
use uuid::Uuid;

use crate::{
    dns::{Dns, Failure},
    domains::{
        Connection, Domain,
        connection::{Expected, Observation, Records},
        ownership::{proof::Look, record_name, record_value},
    },
    hostname::Hostname,
};

/// Whoever is asked.
pub struct Looks {
    pub dns: Dns,
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
    pub async fn look(&self, domain: &Domain, hostname: &Hostname, expected: &Expected) -> Seen {
        let (ownership, observation) = tokio::join!(
            self.ownership(domain, hostname),
            self.connection(domain, hostname, expected)
        );
        Seen {
            ownership,
            observation,
            tenant_id: None,
        }
    }

    async fn ownership(&self, domain: &Domain, hostname: &Hostname) -> Look {
        let value = record_value(&domain.ownership_key, hostname.as_str());
        Look::new(&value, self.dns.txt(&record_name(hostname.as_str())).await)
    }

    async fn connection(&self, domain: &Domain, hostname: &Hostname, _expected: &Expected) -> Option<Observation> {
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
