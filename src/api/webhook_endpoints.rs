//! Webhook endpoints: where an organisation's events go.
use actix_web::{HttpResponse, delete, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    author_body::{AuthorBody, author},
    body::Body,
    page::{Page, PageParams, Params},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission, Scope, authorship::Authors},
    input::{FieldError, WebUrl},
    webhooks::{self, Change, Description, Endpoint, Kind, NewEndpoint, WebhookError, signing::Secret, store},
};

#[derive(Serialize, ToSchema)]
pub struct WebhookEndpointBody {
    id: Uuid,
    #[schema(example = "https://hooks.acme.example/signpost")]
    url: String,
    #[schema(example = "Our ticket system")]
    description: String,
    #[schema(example = json!(["domain.status_changed", "certificate.expiring"]))]
    events: Vec<&'static str>,
    /// Set: events of this client only.
    client_id: Option<Uuid>,
    /// Since when every attempt has failed; null while deliveries arrive.
    failing_since: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    /// `asked`: by somebody here. `gone`: it answered 410. `failing`: nothing arrived for five days.
    disabled_reason: Option<&'static str>,
    /// Until when the secret of before signs as well.
    old_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    /// Null for endpoints from before it was written down.
    created_by: Option<AuthorBody>,
    /// What deliveries are signed with: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl WebhookEndpointBody {
    pub(super) fn with(secret: &Secret, endpoint: Endpoint, created_by: Option<AuthorBody>) -> Self {
        Self {
            secret: Some(secret.expose()),
            ..Self::new(endpoint, created_by)
        }
    }

    fn new(endpoint: Endpoint, created_by: Option<AuthorBody>) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            events: endpoint.events.into_iter().map(Kind::as_str).collect(),
            client_id: endpoint.client_id,
            failing_since: endpoint.failing_since,
            disabled_at: endpoint.disabled.map(|disabled| disabled.at),
            disabled_reason: endpoint.disabled.map(|disabled| disabled.reason.as_str()),
            old_secret_until: endpoint.old_secret_until,
            created_at: endpoint.created_at,
            created_by,
            secret: None,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://hooks.acme.example/signpost", "events": ["domain.status_changed", "certificate.expiring"], "description": "Our ticket system"}))]
pub struct NewWebhookEndpoint {
    /// Asked on ports 80 and 443 of public addresses only.
    url: String,
    /// Of `domain.status_changed`, `domain.first_request`, `certificate.issued`, `certificate.failed`, `certificate.expiring`.
    events: Vec<String>,
    #[serde(default)]
    description: String,
    /// Limits it to one client's events.
    #[serde(default)]
    client_id: Option<Uuid>,
}

/// What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"disabled": false}))]
pub struct WebhookEndpointChange {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    description: Option<String>,
    /// Nothing is sent to one that is; what waits is given up.
    #[serde(default)]
    disabled: Option<bool>,
}

/// Reads the parts of an endpoint, and keeps what is wrong with them.
#[derive(Default)]
struct Reader(Vec<FieldError>);

impl Reader {
    fn part<T>(&mut self, pointer: &str, parsed: Result<T, &'static str>) -> Option<T> {
        parsed
            .map_err(|detail| self.0.push(FieldError::new(pointer, detail)))
            .ok()
    }

    fn events(&mut self, names: &[String]) -> Vec<Kind> {
        if names.is_empty() {
            self.0.push(FieldError::new("/events", "name at least one"));
        }
        let mut events = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match Kind::parse(name) {
                Some(kind) if !events.contains(&kind) => events.push(kind),
                Some(_) => {}
                None => self.0.push(FieldError::new(
                    format!("/events/{index}"),
                    format_args!("is not one of {}", Kind::ALL.map(Kind::as_str).join(", ")),
                )),
            }
        }
        events
    }
}

impl NewWebhookEndpoint {
    fn parse(self) -> Result<NewEndpoint, Problem> {
        let mut reader = Reader::default();
        let url = reader.part("/url", WebUrl::parse(&self.url));
        let description = reader.part("/description", Description::parse(&self.description));
        let events = reader.events(&self.events);
        match (url, description) {
            (Some(url), Some(description)) if reader.0.is_empty() => Ok(NewEndpoint {
                url,
                description,
                events,
                client_id: self.client_id,
            }),
            _ => Err(Problem::invalid(reader.0)),
        }
    }
}

impl WebhookEndpointChange {
    fn parse(self) -> Result<Change, Problem> {
        let mut reader = Reader::default();
        let change = Change {
            url: self.url.and_then(|url| reader.part("/url", WebUrl::parse(&url))),
            description: self
                .description
                .and_then(|text| reader.part("/description", Description::parse(&text))),
            events: self.events.map(|names| reader.events(&names)),
            is_disabled: self.disabled,
        };
        match reader.0.is_empty() {
            true => Ok(change),
            false => Err(Problem::invalid(reader.0)),
        }
    }
}

/// Whatever is no id names no endpoint.
pub(super) fn parse_id(id: &str) -> Result<Uuid, WebhookError> {
    id.parse().map_err(|_| WebhookError::NotFound)
}

/// The endpoint with this id, before a body is read.
async fn find(db: &mut PgConnection, scope: &Scope, id: &str) -> Result<Endpoint, WebhookError> {
    webhooks::find(db, scope, parse_id(id)?).await
}

/// List webhook endpoints
#[utoipa::path(
    tag = "Webhooks",
    params(PageParams),
    responses(
        (status = 200, body = Page<WebhookEndpointBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "url": "https://hooks.acme.example/signpost", "description": "Our ticket system", "events": ["domain.status_changed"], "client_id": null, "failing_since": null, "disabled_at": null, "disabled_reason": null, "old_secret_until": null, "created_at": "2026-11-01T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/webhook-endpoints")]
pub async fn list_webhook_endpoints(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<WebhookEndpointBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let rows = store::list(&mut db, &scope, window.after, window.fetch()).await?;
    let stored = rows.iter().map(|endpoint| &endpoint.author);
    let authors = Authors::find(&mut db, &api.keyring, &scope, stored).await?;
    let body = |endpoint: Endpoint| {
        let author = authors.author(&endpoint.author);
        WebhookEndpointBody::new(endpoint, author.map(AuthorBody::from))
    };
    Ok(web::Json(window.page(rows, |endpoint| endpoint.id, body)))
}

/// Make a webhook endpoint
///
/// From now on events are sent there. Its secret is in this answer and nowhere else: keep it, and check every
/// signature with it.
#[utoipa::path(
    tag = "Webhooks",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewWebhookEndpoint,
    responses(
        (status = 201, body = WebhookEndpointBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "url": "https://hooks.acme.example/signpost", "description": "Our ticket system", "events": ["domain.status_changed", "certificate.expiring"], "client_id": null, "failing_since": null, "disabled_at": null, "disabled_reason": null, "old_secret_until": null, "created_at": "2026-11-01T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}, "secret": "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/webhook-endpoints")]
pub async fn create_webhook_endpoint(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<NewWebhookEndpoint>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let new = body.read().await?.parse()?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let (endpoint, secret) = webhooks::create(&mut tx, &scope, &api.keyring, &new, now).await?;
    let created_by = author(&mut tx, &api, &scope, &endpoint.author).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(WebhookEndpointBody::with(&secret, endpoint, created_by)))
}

/// Show a webhook endpoint
#[utoipa::path(
    tag = "Webhooks",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = WebhookEndpointBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "url": "https://hooks.acme.example/signpost", "description": "", "events": ["domain.status_changed"], "client_id": null, "failing_since": null, "disabled_at": "2026-11-06T09:00:00Z", "disabled_reason": "gone", "old_secret_until": null, "created_at": "2026-11-01T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/webhook-endpoints/{id}")]
pub async fn find_webhook_endpoint(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<web::Json<WebhookEndpointBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let mut db = api.pool.acquire().await?;
    let endpoint = find(&mut db, &scope, &id).await?;
    let created_by = author(&mut db, &api, &scope, &endpoint.author).await?;
    Ok(web::Json(WebhookEndpointBody::new(endpoint, created_by)))
}

/// Change a webhook endpoint
///
/// What is left out stays. One that is enabled again gets what happens from then on; what was given up can be replayed.
#[utoipa::path(
    tag = "Webhooks",
    params(("id" = Uuid, Path)),
    request_body = WebhookEndpointChange,
    responses(
        (status = 200, body = WebhookEndpointBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "url": "https://hooks.acme.example/signpost", "description": "", "events": ["domain.status_changed"], "client_id": null, "failing_since": null, "disabled_at": null, "disabled_reason": null, "old_secret_until": null, "created_at": "2026-11-01T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/webhook-endpoints/{id}")]
pub async fn update_webhook_endpoint(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
    body: Body<WebhookEndpointChange>,
) -> Result<web::Json<WebhookEndpointBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let id = find(&mut *api.pool.acquire().await?, &scope, &id).await?.id;
    let change = body.read().await?.parse()?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let endpoint = webhooks::update(&mut tx, &scope, id, &change, now).await?;
    let created_by = author(&mut tx, &api, &scope, &endpoint.author).await?;
    tx.commit().await?;
    Ok(web::Json(WebhookEndpointBody::new(endpoint, created_by)))
}

/// Delete a webhook endpoint
///
/// With its deliveries.
#[utoipa::path(
    tag = "Webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such webhook endpoint", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/webhook-endpoints/{id}")]
pub async fn delete_webhook_endpoint(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let mut tx = api.pool.begin().await?;
    webhooks::delete(&mut tx, &scope, parse_id(&id)?).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}
