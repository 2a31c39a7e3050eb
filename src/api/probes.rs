//! What a device really gets, from outside.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{get, web};
use uuid::Uuid;

use super::{Api, domains::find, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    domains::Connection,
    probe::{Ours, Probe, Report, Request},
};

const AT_ONCE: usize = 16;
const AT_ONCE_FOR_ONE: usize = 4;
/// Most are over by then.
const RETRY_AFTER: u64 = 10;

/// The probe, and how many run: each asks strangers' servers, for up to a minute.
pub struct Probes {
    probe: Probe,
    https_port: u16,
    /// Those that run, by organisation.
    running: Mutex<HashMap<Uuid, usize>>,
}

/// One that runs, until it is dropped.
struct Place<'a> {
    probes: &'a Probes,
    organisation_id: Uuid,
}

impl Probes {
    /// `https_port` is the one that devices ask.
    #[must_use]
    pub fn new(probe: Probe, https_port: u16) -> Self {
        Self {
            probe,
            https_port,
            running: Mutex::default(),
        }
    }

    fn enter(&self, organisation_id: Uuid) -> Result<Place<'_>, Problem> {
        let mut running = self.running();
        let own = running.get(&organisation_id).copied().unwrap_or_default();
        if own >= AT_ONCE_FOR_ONE || running.values().sum::<usize>() >= AT_ONCE {
            return Err(Problem::rate_limited(RETRY_AFTER));
        }
        running.insert(organisation_id, own + 1);
        Ok(Place {
            probes: self,
            organisation_id,
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut running = self.probes.running();
        match running.get_mut(&self.organisation_id) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(running.remove(&self.organisation_id)),
        }
    }
}

/// Probe a domain
///
/// Walks through discovery as a device does, from outside, now: DNS, connection, TLS, HTTP, the document. Takes up to
/// a minute. For a domain with the connection `direct` the records must lead to Signpost. At most 4 run at once for one
/// organisation. Nothing is stored.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    responses(
        (status = 200, body = Report, example = json!({
            "ok": false, "hostname": "contoso.com",
            "url": "https://contoso.com/.well-known/com.apple.remotemanagement?user-identifier=signpost-check@contoso.com&model-family=iPhone",
            "steps": [
                {"step": "dns", "ok": true, "code": null, "detail": "contoso.com has A 203.0.113.10 and no AAAA.", "expected": null, "remedy": null, "devices": null},
                {"step": "connect", "ok": false, "code": "connection_refused", "detail": "Nothing listens there: 203.0.113.10:443: the connection was refused.",
                 "expected": "A TCP connection on this port.", "remedy": "Whoever runs the server starts its web server on this port, for https.", "devices": "All devices."},
            ],
            "hops": [], "fallback": null,
        })),
        (status = 401, body = Problem), (status = 404, body = Problem), (status = 429, description = "Too many probes run", body = Problem),
    ),
)]
#[get("/domains/{domain}/probe")]
pub async fn probe_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
) -> Result<web::Json<Report>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    // The connection goes back to the pool before the long wait.
    let domain = find(&mut *api.pool.acquire().await?, &scope, &key).await?;
    let _place = api.probes.enter(scope.organisation_id())?;
    let ours = match domain.connection {
        Connection::Direct => Some(Ours {
            addresses: api.checker.expected.addresses.clone(),
            edge_host: api.own_hosts.edge.clone(),
            caa_forbids: api.checker.caa_forbids(&domain.hostname).await,
        }),
        Connection::Redirect | Connection::Proxy => None,
    };
    let request = Request {
        hostname: domain.hostname,
        user: None,
        model_family: None,
        connect: None,
        https_port: api.probes.https_port,
        ours,
        is_brief: false,
    };
    let probe = &api.probes.probe;
    let report = probe.run(&request, crate::clock::now(), &mut |_| {}).await;
    Ok(web::Json(report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dns::Dns,
        outbound::Outbound,
        probe::{Limits, Trust},
    };

    #[test]
    fn a_few_run_for_an_organisation_and_a_few_more_in_all() {
        let probe = Probe {
            dns: Dns::new(&["127.0.0.1:1".parse().unwrap()]).unwrap(),
            outbound: Outbound::new(vec![], vec![]),
            trust: Trust::new([]).unwrap(),
            limits: Limits::default(),
        };
        let probes = Probes::new(probe, 443);
        let ids: Vec<_> = (0..5).map(|_| Uuid::now_v7()).collect();
        let enter = |id: &Uuid| probes.enter(*id);
        let mut first: Vec<_> = (0..AT_ONCE_FOR_ONE).map(|_| enter(&ids[0]).unwrap()).collect();
        let refused = enter(&ids[0]).err();
        assert_eq!(refused.map(|problem| problem.code()), Some("rate_limited"));
        first.pop();
        first.push(enter(&ids[0]).unwrap());
        let others: Vec<_> = ids[1..4]
            .iter()
            .flat_map(|id| [id; AT_ONCE_FOR_ONE])
            .map(|id| enter(id).unwrap())
            .collect();
        assert_eq!(first.len() + others.len(), AT_ONCE);
        assert!(enter(&ids[4]).is_err());
        drop((first, others));
        assert!(probes.running().is_empty());
    }
}
