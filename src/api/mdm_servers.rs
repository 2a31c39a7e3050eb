//! MDM servers.
use actix_web::{HttpResponse, delete, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::Body,
    page::{Page, Params, Window},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission, Scope},
    domains::{
        DomainError,
        intake::{
            Parameters, ServerInput,
            server::{configure, parse_enrollment},
        },
        servers::{self, MdmServer, store},
    },
    input::{FieldError, Name},
    vendors,
};

#[derive(Serialize, ToSchema)]
pub struct MdmServerBody {
    id: Uuid,
    client_id: Uuid,
    #[schema(example = "Microsoft Intune")]
    name: String,
    #[schema(example = "intune")]
    vendor: &'static str,
    #[schema(value_type = Object, example = json!({"tenant_id": "11111111-2222-3333-4444-555555555555", "cloud": "global"}))]
    parameters: Parameters,
    #[schema(example = "byod")]
    enrollment: &'static str,
    /// Derived: `mdm-byod` or `mdm-adde`.
    #[schema(example = "mdm-byod")]
    version: &'static str,
    /// Derived: where the device enrolls, or (Ivanti) where it is sent to ask.
    #[schema(
        example = "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555"
    )]
    base_url: String,
    created_at: DateTime<Utc>,
}

impl From<MdmServer> for MdmServerBody {
    fn from(stored: MdmServer) -> Self {
        Self {
            id: stored.id,
            client_id: stored.client_id,
            name: stored.name,
            vendor: stored.server.vendor().key(),
            parameters: stored.server.parameters().clone(),
            enrollment: stored.server.enrollment().key(),
            version: stored.server.version(),
            base_url: address(&stored.server),
            created_at: stored.created_at,
        }
    }
}

/// Where the device is sent: to enroll, or (Ivanti) to ask.
pub fn address(server: &vendors::Server) -> String {
    match server.answer() {
        vendors::Answer::Document { base_url, .. } => base_url.clone(),
        vendors::Answer::Redirect { url } => url.clone(),
    }
}

fn parse_name(text: Option<&str>) -> Result<Option<Name>, FieldError> {
    text.map(|text| Name::parse(text).map_err(|detail| FieldError::new("/name", detail)))
        .transpose()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"client_id": "01890a5d-ac96-774b-bcce-b302099a8057", "vendor": "intune", "parameters": {"tenant_id": "11111111-2222-3333-4444-555555555555", "cloud": "global"}}))]
pub struct NewMdmServer {
    client_id: Uuid,
    /// The vendor's name if not given.
    #[serde(default)]
    name: Option<String>,
    vendor: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Parameters,
    #[serde(default)]
    enrollment: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"parameters": {"tenant_id": "66666666-7777-8888-9999-000000000000"}}))]
pub struct MdmServerChange {
    #[serde(default)]
    name: Option<String>,
    /// All of them: what is left out is not kept.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    parameters: Option<Parameters>,
    #[serde(default)]
    enrollment: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only this client's.
    client_id: Option<Uuid>,
    /// 1 to 100, 50 if not given.
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List MDM servers
#[utoipa::path(
    tag = "MDM servers",
    params(ListParams),
    responses(
        (status = 200, body = Page<MdmServerBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "client_id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Microsoft Intune", "vendor": "intune", "parameters": {"tenant_id": "11111111-2222-3333-4444-555555555555", "cloud": "global"}, "enrollment": "byod", "version": "mdm-byod", "base_url": "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555", "created_at": "2026-11-01T09:00:00Z"}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/mdm-servers")]
pub async fn list_mdm_servers(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<ListParams>,
) -> Result<web::Json<Page<MdmServerBody>>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let window = Window::parse(params.0.limit, params.0.cursor.as_deref())?;
    let mut db = api.pool.acquire().await?;
    let stored = store::list(&mut db, &scope, params.0.client_id, window.after, window.fetch()).await?;
    let rows = stored
        .into_iter()
        .map(servers::StoredServer::configure)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(web::Json(window.page(rows, |server| server.id, MdmServerBody::from)))
}

/// Make an MDM server
///
/// What each vendor needs is told by `GET /vendors`. Parameters are parsed strictly; a host that only looks like a vendor's is refused.
#[utoipa::path(
    tag = "MDM servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewMdmServer,
    responses(
        (status = 201, body = MdmServerBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "client_id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Microsoft Intune", "vendor": "intune", "parameters": {"tenant_id": "11111111-2222-3333-4444-555555555555", "cloud": "global"}, "enrollment": "byod", "version": "mdm-byod", "base_url": "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555", "created_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/mdm-servers")]
pub async fn create_mdm_server(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<NewMdmServer>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let body = body.read().await?;
    let input = ServerInput {
        vendor: body.vendor,
        parameters: body.parameters,
        enrollment: body.enrollment,
        // Without a domain there is nothing to look it up by.
        tenant: None,
    };
    let (name, server) = match (parse_name(body.name.as_deref()), input.configure()) {
        (Ok(name), Ok(server)) => (name, server),
        (name, server) => {
            return Err(Problem::invalid(
                name.err()
                    .into_iter()
                    .chain(server.err().into_iter().flatten())
                    .collect(),
            ));
        }
    };
    let mut tx = api.pool.begin().await?;
    let client = scope.client(&mut tx, body.client_id).await?;
    let created = servers::create(&mut tx, &client, name, server).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(MdmServerBody::from(created)))
}

/// Show an MDM server
#[utoipa::path(
    tag = "MDM servers",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = MdmServerBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "client_id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Jamf Pro", "vendor": "jamf_pro", "parameters": {"host": "acme.jamfcloud.com"}, "enrollment": "byod", "version": "mdm-byod", "base_url": "https://acme.jamfcloud.com/servicediscoveryenrollment/v1/userenroll", "created_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/mdm-servers/{id}")]
pub async fn find_mdm_server(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<web::Json<MdmServerBody>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let mut db = api.pool.acquire().await?;
    Ok(web::Json(find(&mut db, &scope, &id).await?.into()))
}

/// Change an MDM server
///
/// Changing `parameters` changes every domain that serves it, at once.
#[utoipa::path(
    tag = "MDM servers",
    params(("id" = Uuid, Path)),
    request_body = MdmServerChange,
    responses(
        (status = 200, body = MdmServerBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "client_id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Microsoft Intune", "vendor": "intune", "parameters": {"tenant_id": "66666666-7777-8888-9999-000000000000", "cloud": "global"}, "enrollment": "byod", "version": "mdm-byod", "base_url": "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=66666666-7777-8888-9999-000000000000", "created_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/mdm-servers/{id}")]
pub async fn update_mdm_server(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
    body: Body<MdmServerChange>,
) -> Result<web::Json<MdmServerBody>, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let found = find(&mut *api.pool.acquire().await?, &scope, &id).await?;
    let change = body.read().await?;
    let mut tx = api.pool.begin().await?;
    store::lock_server(&mut tx, &scope, found.id).await?;
    let before = find(&mut tx, &scope, &id).await?;
    let invalid = |error| Problem::invalid(vec![error]);
    let name = parse_name(change.name.as_deref()).map_err(invalid)?;
    let enrollment = change
        .enrollment
        .as_deref()
        .map(parse_enrollment)
        .transpose()
        .map_err(invalid)?;
    let server = match (&change.parameters, enrollment) {
        (None, None) => None,
        (parameters, enrollment) => {
            let parameters = parameters.as_ref().unwrap_or(before.server.parameters());
            let enrollment = enrollment.unwrap_or(before.server.enrollment());
            Some(configure(before.server.vendor(), Some(enrollment), parameters).map_err(Problem::invalid)?)
        }
    };
    let after = servers::update(&mut tx, &scope, &before, name, server).await?;
    tx.commit().await?;
    Ok(web::Json(after.into()))
}

/// Delete an MDM server
///
/// Not while a domain's policy names it: 409.
#[utoipa::path(
    tag = "MDM servers",
    params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem, example = json!({"type": "/docs#conflict", "title": "Conflict with what is there", "status": 409, "detail": "a domain's policy still names this MDM server: change the policy first", "code": "conflict", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/mdm-servers/{id}")]
pub async fn delete_mdm_server(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let mut tx = api.pool.begin().await?;
    let server = find(&mut tx, &scope, &id).await?;
    servers::delete(&mut tx, &scope, &server).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn find(db: &mut PgConnection, scope: &Scope, id: &str) -> Result<MdmServer, Problem> {
    let id = id.parse().map_err(|_| DomainError::ServerNotFound)?;
    Ok(store::find(db, scope, id)
        .await?
        .ok_or(DomainError::ServerNotFound)?
        .configure()?)
}
