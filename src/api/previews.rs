//! What a device would get.
use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, domains::find, page::Params, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    discovery::policy::Matched,
    publisher::preview::{self, Device},
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PreviewParams {
    #[param(example = "ada@contoso.com")]
    user_identifier: Option<String>,
    #[param(example = "Mac")]
    model_family: Option<String>,
}

/// What a device would get.
#[derive(Serialize, ToSchema)]
pub struct Preview {
    #[schema(example = 200)]
    status: u16,
    #[schema(example = "application/json")]
    content_type: Option<&'static str>,
    #[schema(value_type = Option<Object>)]
    body: Option<serde_json::Value>,
    /// Where it is redirected, with its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// `default` or `rule N`.
    #[schema(example = "rule 1")]
    matched: String,
}

/// Preview an answer
///
/// What a device would get once the domain is served. Makes no row in the request log.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"), PreviewParams),
    responses(
        (status = 200, body = Preview, example = json!({"status": 200, "content_type": "application/json", "body": {"Servers": [{"Version": "mdm-byod", "BaseURL": "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555"}]}, "matched": "default"})),
        (status = 401, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/domains/{domain}/preview")]
pub async fn preview_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    params: Params<PreviewParams>,
) -> Result<web::Json<Preview>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let mut db = api.pool.acquire().await?;
    let domain = find(&mut db, &scope, &key).await?;
    let device = Device {
        user_identifier: params.0.user_identifier.as_deref(),
        model_family: params.0.model_family.as_deref(),
    };
    let found = preview::preview(&mut db, &scope, &domain.hostname, &domain.policy, &device).await?;
    Ok(web::Json(found.into()))
}

impl From<preview::Preview> for Preview {
    fn from(found: preview::Preview) -> Self {
        Self {
            status: found.status,
            content_type: found.body.as_ref().map(|_| "application/json"),
            body: found.body,
            location: found.location,
            matched: match found.matched {
                Matched::Default => "default".to_owned(),
                Matched::Rule(index) => format!("rule {}", index + 1),
            },
        }
    }
}
