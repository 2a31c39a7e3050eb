//! What was sent to a webhook endpoint; sending it again; a test; a new secret.
use actix_web::{HttpResponse, get, post, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    author_body::author,
    page::{Page, PageParams, Params},
    problem::Problem,
    webhook_endpoints::{WebhookEndpointBody, parse_id},
};
use crate::{
    accounts::{Actor, Permission},
    webhooks::{
        self, WebhookError,
        deliveries::{self, Delivery, store},
    },
};

#[derive(Serialize, ToSchema)]
pub struct WebhookDeliveryBody {
    id: Uuid,
    /// The header `webhook-id`: the same at every attempt.
    event_id: Uuid,
    #[schema(example = "domain.status_changed")]
    r#type: String,
    /// `waiting`, `retrying`, `delivered` or `given_up`.
    #[schema(example = "delivered")]
    state: &'static str,
    #[schema(value_type = Object)]
    payload: serde_json::Value,
    attempts: i32,
    /// Null once it is delivered or given up.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Of the last attempt; null before the first.
    response: Option<WebhookResponse>,
    created_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
pub struct WebhookResponse {
    at: DateTime<Utc>,
    /// Null: there was no answer.
    #[schema(example = 204)]
    status: Option<i16>,
    /// The beginning of the answer's body, or why there was none.
    text: String,
    duration_ms: i32,
}

impl From<Delivery> for WebhookDeliveryBody {
    fn from(delivery: Delivery) -> Self {
        Self {
            state: delivery.state().as_str(),
            next_attempt_at: delivery.next_attempt_at(),
            response: delivery.attempted_at.map(|at| WebhookResponse {
                at,
                status: delivery.response_status,
                text: delivery.response_text.unwrap_or_default(),
                duration_ms: delivery.duration_ms.unwrap_or_default(),
            }),
            id: delivery.id,
            event_id: delivery.event_id,
            r#type: delivery.event_type,
            payload: serde_json::from_str(&delivery.payload).unwrap_or_default(),
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            delivered_at: delivery.delivered_at,
        }
    }
}

/// List deliveries
///
/// Newest first; they are kept for 30 days.
#[utoipa::path(
    tag = "Webhooks",
    params(("id" = Uuid, Path), PageParams),
    responses(
        (status = 200, body = Page<WebhookDeliveryBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "event_id": "01890a5d-ac96-774b-bcce-b302099a8058", "type": "domain.status_changed", "state": "delivered", "payload": {"type": "domain.status_changed", "timestamp": "2026-11-01T09:00:00Z", "data": {"domain_id": "01890a5d-ac96-774b-bcce-b302099a8059", "hostname": "contoso.com", "client_id": "01890a5d-ac96-774b-bcce-b302099a805a", "status": "active", "previous_status": "pending_certificate"}}, "attempts": 1, "next_attempt_at": null, "response": {"at": "2026-11-01T09:00:01Z", "status": 204, "text": "", "duration_ms": 87}, "created_at": "2026-11-01T09:00:00Z", "delivered_at": "2026-11-01T09:00:01Z"}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/webhook-endpoints/{id}/deliveries")]
pub async fn list_webhook_deliveries(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<WebhookDeliveryBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let endpoint = webhooks::find(&mut db, &scope, parse_id(&id)?).await?;
    let rows = store::list(&mut db, &scope, endpoint.id, window.after, window.fetch()).await?;
    Ok(web::Json(window.page(
        rows,
        |delivery| delivery.id,
        WebhookDeliveryBody::from,
    )))
}

/// Replay a delivery
///
/// Sends it again now, under the same `webhook-id`, whatever became of it.
#[utoipa::path(
    tag = "Webhooks",
    params(
        ("id" = Uuid, Path), ("delivery_id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed."),
    ),
    responses(
        (status = 202, body = WebhookDeliveryBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "event_id": "01890a5d-ac96-774b-bcce-b302099a8058", "type": "certificate.issued", "state": "waiting", "payload": {"type": "certificate.issued", "timestamp": "2026-11-01T09:00:00Z", "data": {"domain_id": "01890a5d-ac96-774b-bcce-b302099a8059", "hostname": "contoso.com", "client_id": "01890a5d-ac96-774b-bcce-b302099a805a", "not_before": "2026-11-01T08:00:00Z", "not_after": "2027-01-30T08:00:00Z", "renews_at": "2026-12-31T08:00:00Z"}}, "attempts": 0, "next_attempt_at": "2026-11-02T10:00:00Z", "response": null, "created_at": "2026-11-01T09:00:00Z", "delivered_at": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    ),
)]
#[post("/webhook-endpoints/{id}/deliveries/{delivery_id}/replay")]
pub async fn replay_webhook_delivery(
    actor: Actor,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let (id, delivery_id) = path.into_inner();
    let delivery_id = delivery_id.parse().map_err(|_| WebhookError::NoSuchDelivery);
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let endpoint = webhooks::find(&mut tx, &scope, parse_id(&id)?).await?;
    let ids = (endpoint.id, delivery_id?);
    let delivery = deliveries::replay(&mut tx, &scope, ids, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::Accepted().json(WebhookDeliveryBody::from(delivery)))
}

/// Send a test
///
/// An event of the type `webhook.test`, signed and retried as any other.
#[utoipa::path(
    tag = "Webhooks",
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed."),
    ),
    responses(
        (status = 202, body = WebhookDeliveryBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "event_id": "01890a5d-ac96-774b-bcce-b302099a8058", "type": "webhook.test", "state": "waiting", "payload": {"type": "webhook.test", "timestamp": "2026-11-01T09:00:00Z", "data": {"message": "This is a test: nothing has happened."}}, "attempts": 0, "next_attempt_at": "2026-11-01T09:00:00Z", "response": null, "created_at": "2026-11-01T09:00:00Z", "delivered_at": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    ),
)]
#[post("/webhook-endpoints/{id}/test")]
pub async fn test_webhook_endpoint(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let delivery = deliveries::test(&mut tx, &scope, parse_id(&id)?, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::Accepted().json(WebhookDeliveryBody::from(delivery)))
}

/// Rotate the secret
///
/// The new one is in this answer and nowhere else. For 24 hours each delivery carries two signatures, one by the secret
/// of before.
#[utoipa::path(
    tag = "Webhooks",
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed."),
    ),
    responses(
        (status = 200, body = WebhookEndpointBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "url": "https://hooks.acme.example/signpost", "description": "", "events": ["domain.status_changed"], "client_id": null, "failing_since": null, "disabled_at": null, "disabled_reason": null, "old_secret_until": "2026-11-02T09:00:00Z", "created_at": "2026-11-01T09:00:00Z", "secret": "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    ),
)]
#[post("/webhook-endpoints/{id}/rotate-secret")]
pub async fn rotate_webhook_secret(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let (endpoint, secret) = webhooks::rotate(&mut tx, &scope, &api.keyring, parse_id(&id)?, now).await?;
    let created_by = author(&mut tx, &api, &scope, &endpoint.author).await?;
    tx.commit().await?;
    Ok(HttpResponse::Ok().json(WebhookEndpointBody::with(&secret, endpoint, created_by)))
}
