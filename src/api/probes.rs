//! What a device really gets, from outside.
use actix_web::{get, web};

use super::{Api, domains::find, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    probe::Report,
};

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
    Ok(web::Json(api.probes.run(&scope, &api.checker, &domain).await?))
}
