//! Which tenant a domain belongs to, as Microsoft Entra publishes it.
use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    page::{Params, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission},
    domains::intake::tenants::nobodys,
    hostname::Hostname,
};

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
        (status = 429, description = "Too many look-ups of this organisation", body = Problem),
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
    api.limits.take_lookup(actor.organisation_id)?;
    let found = api.entra.lookup(&domain).await?;
    let tenant = found.ok_or_else(|| Problem::not_found(format_args!("{}.", nobodys(&domain))))?;
    Ok(web::Json(TenantBody {
        tenant_id: tenant.tenant_id,
        cloud: tenant.cloud.as_str(),
        region: tenant.region,
    }))
}
