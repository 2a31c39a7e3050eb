//! Gathers the facts about one domain: asks DNS, the domain's web server, and Microsoft Entra. Decides nothing.
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::fetch::Fetch;
use crate::{
    clock::DatabaseTime,
    dns::{
        Dns, Failure,
        verification::{Look, VerificationRecord},
    },
    domains::{
        Connection, Domain,
        connection::{self, Expected, Fetched, Finding, Observation, Records, Verdict},
        ownership::{record_name, record_value},
    },
    entra::Entra,
    hostname::Hostname,
};

/// Whoever is asked.
pub struct Looks {
    pub dns: Dns,
    pub fetch: Fetch,
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

/// What a look is told.
pub struct Given<'a> {
    pub expected: &'a Expected,
    pub is_tenant_due: bool,
    pub now: DatabaseTime,
}

impl Looks {
    /// At everything at once.
    pub async fn look(&self, domain: &Domain, hostname: &Hostname, given: Given<'_>) -> Seen {
        let (ownership, observation, tenant_id) = tokio::join!(
            self.ownership(domain, hostname),
            self.connection(domain, hostname, (given.expected, given.now)),
            self.tenant(domain, hostname, given.is_tenant_due)
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
        let record = VerificationRecord {
            hostname: hostname.as_str(),
            name: &record_name(hostname.as_str()),
            value: &record_value(&domain.ownership_key, hostname.as_str()),
        };
        self.dns.verification(record, domain.claim.verification.is_some()).await
    }

    async fn connection(
        &self,
        domain: &Domain,
        hostname: &Hostname,
        (expected, now): (&Expected, DatabaseTime),
    ) -> Option<Observation> {
        match domain.connection {
            Connection::Direct => {
                let mut records = self.records(hostname).await;
                let observed = Observation::Records(records.clone());
                let verdict = connection::judge(domain.connection, hostname.as_str(), Some(&observed), expected);
                if verdict == Some(Verdict::Connected) && domain.certificate(expected).is_some() {
                    records.probe = self.behind_right_records(domain, hostname, (expected, now)).await;
                }
                Some(Observation::Records(records))
            }
            // Without proof, our answer is the same as anybody's who knows nothing.
            Connection::Redirect | Connection::Proxy if domain.claim.verification.is_none() => None,
            Connection::Redirect | Connection::Proxy => Some(Observation::Fetched(
                self.fetch.fetch(domain, hostname, (expected, now)).await,
            )),
        }
    }

    async fn records(&self, hostname: &Hostname) -> Records {
        let (addresses, caa) = tokio::join!(self.dns.addresses(hostname.as_str()), self.dns.caa(hostname.as_str()));
        let dangling = match addresses.a {
            Err(Failure::NoSuchName) => self.dns.alias(hostname.as_str()).await.ok().flatten(),
            _ => None,
        };
        Records {
            a: addresses.a,
            aaaa: addresses.aaaa,
            caa,
            dangling,
            probe: None,
        }
    }

    async fn behind_right_records(
        &self,
        domain: &Domain,
        hostname: &Hostname,
        (expected, now): (&Expected, DatabaseTime),
    ) -> Option<Finding> {
        match Box::pin(self.fetch.fetch(domain, hostname, (expected, now))).await {
            // The address is ours, and a trial's: nobody outside can ask there.
            Fetched::Failed(finding) if finding.code == "forbidden_address" => None,
            Fetched::Failed(finding) => Some(finding),
            Fetched::Ours | Fetched::Elsewhere(_) => None,
        }
    }
}
