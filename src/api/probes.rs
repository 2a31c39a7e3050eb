//! What a device really gets, from outside.
use actix_web::{get, web};

use super::{Api, domains::find, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    domains::{Connection, checks::places::Places},
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
    places: Places,
}

impl Probes {
    /// `https_port` is the one that devices ask.
    #[must_use]
    pub fn new(probe: Probe, https_port: u16) -> Self {
        Self {
            probe,
            https_port,
            places: Places::new(AT_ONCE_FOR_ONE, AT_ONCE),
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
    let place = api.probes.places.enter(scope.organisation_id());
    let _place = place.ok_or_else(|| Problem::rate_limited(RETRY_AFTER))?;
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
