//! What a device would get.
use std::collections::HashMap;

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, domains::find, page::Params, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    discovery::{
        handler::{self, Decision},
        policy::Matched,
        query::Query,
    },
    domains::{DomainError, servers},
    hostname::Hostname,
    publisher,
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
    let mut servers = HashMap::new();
    for server_id in domain.policy.server_ids() {
        let stored = servers::store::find(&mut db, &scope, server_id)
            .await?
            .ok_or(DomainError::ServerNotFound)?;
        servers.insert(server_id, stored.configure()?.server);
    }
    let hostname = Hostname::parse(&domain.hostname).map_err(publisher::UnreadableRow::from)?;
    let entry = publisher::preview_entry(hostname, &domain.policy, &servers)?;
    let query = device_query(&params.0);
    let parsed = Query::parse(&query);
    Ok(web::Json(preview(
        &handler::decide(&entry, parsed.asked.family(), parsed.user()),
        &query,
    )))
}

/// The query that a device would send.
fn device_query(params: &PreviewParams) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(user) = &params.user_identifier {
        query.append_pair("user-identifier", user);
    }
    if let Some(family) = &params.model_family {
        query.append_pair("model-family", family);
    }
    // A form's `+` is a space; discovery takes `+` as it stands.
    query.finish().replace('+', "%20")
}

fn preview(decision: &Decision<'_>, query: &str) -> Preview {
    Preview {
        status: decision.status.as_u16(),
        content_type: decision.body.map(|_| "application/json"),
        body: decision.body.and_then(|body| serde_json::from_slice(body).ok()),
        location: decision.location.map(|url| handler::with_query(url, query)),
        matched: match decision.matched {
            Matched::Default => "default".to_owned(),
            Matched::Rule(index) => format!("rule {}", index + 1),
        },
    }
}
