//! Which tenant a domain belongs to, as Microsoft Entra publishes it: asked outright, or because a body leaves it out.
//! Never inside a transaction: Entra may take its time.
use std::time::Duration;

use actix_web::{get, web};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    domain_input::DomainInput,
    page::{Params, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission},
    entra::{Entra, EntraError, Tenant},
    hostname::Hostname,
};

/// Of the domains of one body.
const AT_ONCE: usize = 8;
/// For all domains of one body. Those that come too late are refused; few programs wait longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LookupParams {
    /// A domain that the tenant has verified, such as the one that people sign in with.
    #[param(example = "contoso.com")]
    domain: String,
}

/// The Microsoft Entra tenant of a domain.
#[derive(Serialize, ToSchema)]
pub struct TenantBody {
    tenant_id: Uuid,
    /// `global`, `us_government` or `china`: Intune's parameter `cloud`.
    #[schema(example = "global")]
    cloud: &'static str,
    /// As Entra names it.
    #[schema(example = "EU")]
    region: Option<String>,
}

/// Look up an Intune tenant
///
/// The tenant that has verified the domain, from Microsoft Entra's public OpenID configuration. 404 if no cloud knows it.
#[utoipa::path(
    tag = "MDM servers",
    params(LookupParams),
    responses(
        (status = 200, body = TenantBody, example = json!({"tenant_id": "11111111-2222-3333-4444-555555555555", "cloud": "global", "region": "EU"})),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, description = "No tenant has verified the domain", body = Problem), (status = 422, body = Problem),
        (status = 503, description = "Microsoft Entra can't be asked", body = Problem),
    ),
)]
#[get("/vendors/intune/lookup")]
pub async fn look_up_intune_tenant(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<LookupParams>,
) -> Result<web::Json<TenantBody>, Problem> {
    actor.scope(Permission::DomainsRead)?;
    let domain = Hostname::parse(&params.0.domain).map_err(|error| invalid_parameter("domain", error))?;
    let found = api.entra.lookup(&domain).await?;
    let tenant = found.ok_or_else(|| Problem::not_found(format_args!("{}.", nobodys(&domain))))?;
    Ok(web::Json(TenantBody {
        tenant_id: tenant.tenant_id,
        cloud: tenant.cloud.as_str(),
        region: tenant.region,
    }))
}

/// Asks for the tenants that the domains leave out. What Entra can't tell becomes an error of the domain.
pub async fn fill_in(entra: &Entra, domains: impl IntoIterator<Item = &mut DomainInput>) {
    let deadline = Instant::now() + PATIENCE;
    let lacking = domains.into_iter().filter_map(DomainInput::without_tenant);
    let failures: Vec<EntraError> = stream::iter(lacking)
        .map(|(domain, server)| async move {
            let (found, failure) = ask(entra, &domain, deadline).await;
            server.set_tenant(found);
            failure
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if let Some(error) = failures.first() {
        tracing::warn!(%error, failures = failures.len(), "tenants could not be looked up");
    }
}

/// The tenant, or what to do without; and why it could not be asked for.
async fn ask(entra: &Entra, domain: &Hostname, deadline: Instant) -> (Result<Tenant, String>, Option<EntraError>) {
    let in_time = async {
        match Instant::now() < deadline {
            true => tokio::time::timeout_at(deadline, entra.lookup(domain)).await.ok(),
            false => None,
        }
    };
    match in_time.await {
        Some(Ok(Some(tenant))) => (Ok(tenant), None),
        Some(Ok(None)) => {
            let detail = format!(
                "{}. Give tenant_id: the Entra admin center shows it as \"Tenant ID\".",
                nobodys(domain)
            );
            (Err(detail), None)
        }
        Some(Err(error)) => (Err(away(domain)), Some(error)),
        None => (Err(away(domain)), None),
    }
}

fn nobodys(domain: &Hostname) -> String {
    format!("Microsoft Entra knows no tenant that has verified {domain}")
}

fn away(domain: &Hostname) -> String {
    format!("Microsoft Entra could not be asked for the tenant of {domain}. Give tenant_id, or try again later.")
}
