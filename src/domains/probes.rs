//! The probe for whoever asks about a domain of theirs: what a device really gets, from outside, now. Nothing is stored.
use super::{
    Connection, Domain, DomainError,
    checks::{CheckPlaces, Checker},
};
use crate::{
    accounts::Scope,
    clock,
    own_checks::OwnChecks,
    probe::{Ours, Probe, Report, Request},
};

/// Probes of a node at once; one organisation alone gets half of them.
const MAX_PROBES: usize = 16;

/// The probe, and how many run: each asks strangers' servers, for up to a minute.
pub struct Probes {
    probe: Probe,
    https_port: u16,
    own_checks: OwnChecks,
    places: CheckPlaces,
}

impl Probes {
    /// `https_port` is the one that devices ask.
    #[must_use]
    pub fn new(probe: Probe, https_port: u16, own_checks: OwnChecks) -> Self {
        Self {
            probe,
            https_port,
            own_checks,
            places: CheckPlaces::new(MAX_PROBES),
        }
    }

    /// Walks through discovery as a device of `domain` does. [`DomainError::Busy`]: too many do at this moment.
    /// Holds no connection to the database, and may take a minute.
    pub async fn run(&self, scope: &Scope, checker: &Checker, domain: &Domain) -> Result<Report, DomainError> {
        let _place = self.places.try_take(scope.organisation_id()).ok_or(DomainError::Busy)?;
        let ours = match domain.connection {
            Connection::Direct => Some(Ours {
                addresses: checker.expected.addresses.clone(),
                edge_host: checker.expected.edge_host.clone(),
                caa_forbids: checker.caa_forbids(&domain.hostname).await,
            }),
            Connection::Redirect | Connection::Proxy => None,
        };
        let now = clock::read(&checker.pool).await?.get();
        let request = Request {
            hostname: domain.hostname.clone(),
            user: None,
            model_family: None,
            connect: None,
            https_port: self.https_port,
            ours,
            own_check: self.own_checks.sign(&domain.hostname, now.timestamp()),
            is_brief: false,
        };
        Ok(self.probe.run(&request, now, &mut |_| {}).await)
    }
}
