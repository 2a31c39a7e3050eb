//! An MSP's customers.
use actix_web::{HttpResponse, delete, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::{Body, present},
    page::{Page, PageParams, Params},
    problem::Problem,
};
use crate::{
    accounts::{
        Actor, Permission, Scope,
        clients::{self, Client, ClientError, store},
    },
    input::{FieldError, Name},
};

#[derive(Serialize, ToSchema)]
pub struct ClientBody {
    id: Uuid,
    #[schema(example = "Contoso")]
    name: String,
    /// What your own system calls it.
    #[schema(example = json!(null))]
    external_ref: Option<String>,
    domain_count: i64,
    created_at: DateTime<Utc>,
}

impl From<Client> for ClientBody {
    fn from(client: Client) -> Self {
        let Client {
            id,
            name,
            external_ref,
            domain_count,
            created_at,
        } = client;
        Self {
            id,
            name,
            external_ref,
            domain_count,
            created_at,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Contoso", "external_ref": "PSA-1042"}))]
pub struct NewClient {
    name: String,
    #[serde(default)]
    external_ref: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Contoso Ltd."}))]
pub struct ClientChange {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    external_ref: Option<Option<String>>,
}

/// List clients
#[utoipa::path(
    tag = "Clients",
    params(PageParams),
    responses(
        (status = 200, body = Page<ClientBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Contoso", "external_ref": null, "domain_count": 2, "created_at": "2026-11-01T09:00:00Z"}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/clients")]
pub async fn list_clients(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<ClientBody>>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let rows = store::list(&mut db, &scope, window.after, window.fetch()).await?;
    Ok(web::Json(window.page(rows, |client| client.id, ClientBody::from)))
}

/// Make a client
#[utoipa::path(
    tag = "Clients",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewClient,
    responses(
        (status = 201, body = ClientBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Contoso", "external_ref": "PSA-1042", "domain_count": 0, "created_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/clients")]
pub async fn create_client(actor: Actor, api: web::Data<Api>, body: Body<NewClient>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let body = body.read().await?;
    let name = parse_name(&body.name)?;
    let external_ref = parse_external_ref(body.external_ref)?;
    let mut tx = api.pool.begin().await?;
    let client = clients::create(&mut tx, &scope, name.as_str(), external_ref.as_deref()).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(ClientBody::from(client)))
}

/// Show a client
#[utoipa::path(
    tag = "Clients",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = ClientBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Contoso", "external_ref": null, "domain_count": 2, "created_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/clients/{id}")]
pub async fn find_client(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<web::Json<ClientBody>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let mut db = api.pool.acquire().await?;
    Ok(web::Json(find(&mut db, &scope, &id).await?.into()))
}

/// Change a client
///
/// What is left out stays; `"external_ref": null` clears it.
#[utoipa::path(
    tag = "Clients",
    params(("id" = Uuid, Path)),
    request_body = ClientChange,
    responses(
        (status = 200, body = ClientBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Contoso Ltd.", "external_ref": null, "domain_count": 2, "created_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/clients/{id}")]
pub async fn update_client(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
    body: Body<ClientChange>,
) -> Result<web::Json<ClientBody>, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let found = find(&mut *api.pool.acquire().await?, &scope, &id).await?;
    let change = body.read().await?;
    let mut tx = api.pool.begin().await?;
    store::lock(&mut tx, &scope, found.id).await?;
    let mut client = find(&mut tx, &scope, &id).await?;
    if let Some(name) = change.name {
        client.name = parse_name(&name)?.into_string();
    }
    if let Some(external_ref) = change.external_ref {
        client.external_ref = parse_external_ref(external_ref)?;
    }
    clients::update(&mut tx, &scope, &client).await?;
    tx.commit().await?;
    Ok(web::Json(client.into()))
}

/// Delete a client
///
/// Only one without domains and MDM servers; else 409.
#[utoipa::path(
    tag = "Clients",
    params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such client", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"})), (status = 409, body = Problem)),
)]
#[delete("/clients/{id}")]
pub async fn delete_client(actor: Actor, api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let mut tx = api.pool.begin().await?;
    let client = find(&mut tx, &scope, &id).await?;
    clients::delete(&mut tx, &scope, &client).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn find(db: &mut PgConnection, scope: &Scope, id: &str) -> Result<Client, Problem> {
    let id = id.parse().map_err(|_| ClientError::NotFound)?;
    Ok(store::find(db, scope, id).await?.ok_or(ClientError::NotFound)?)
}

fn parse_name(text: &str) -> Result<Name, Problem> {
    Name::parse(text).map_err(|detail| Problem::invalid(vec![FieldError::new("/name", detail)]))
}

fn parse_external_ref(text: Option<String>) -> Result<Option<String>, Problem> {
    let parsed = text.map(|text| Name::parse(&text).map(Name::into_string)).transpose();
    parsed.map_err(|detail| Problem::invalid(vec![FieldError::new("/external_ref", detail)]))
}
