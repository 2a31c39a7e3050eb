//! Who changed what.
use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    page::{Page, PageParams, Params},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission},
    audit::{self, AuditEvent, Wanted},
};

#[derive(Serialize, ToSchema)]
pub struct AuditEventBody {
    id: Uuid,
    at: DateTime<Utc>,
    actor: AuditActor,
    #[schema(example = "domain.created")]
    action: String,
    subject: AuditSubject,
    #[schema(value_type = Object)]
    details: serde_json::Value,
}

#[derive(Serialize, ToSchema)]
pub struct AuditActor {
    /// `token`, `member`, `operator` or `signpost`.
    #[serde(rename = "type")]
    #[schema(example = "token")]
    kind: String,
    id: Option<Uuid>,
    /// Of a member the name that they have now, or their address if they gave none.
    name: String,
}

#[derive(Serialize, ToSchema)]
pub struct AuditSubject {
    #[serde(rename = "type")]
    #[schema(example = "domain")]
    kind: String,
    id: Uuid,
    #[schema(example = "contoso.com")]
    name: String,
}

impl From<AuditEvent> for AuditEventBody {
    fn from(event: AuditEvent) -> Self {
        Self {
            id: event.id,
            at: event.at,
            actor: AuditActor {
                kind: event.actor_kind,
                id: event.actor_id,
                name: event.actor_name,
            },
            action: event.action,
            subject: AuditSubject {
                kind: event.subject_kind,
                id: event.subject_id,
                name: event.subject_name,
            },
            details: event.details,
        }
    }
}

/// List audit events
///
/// Newest first.
#[utoipa::path(
    tag = "Account",
    params(PageParams),
    responses(
        (status = 200, body = Page<AuditEventBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "at": "2026-11-01T09:00:00Z", "actor": {"type": "token", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "First token"}, "action": "client.created", "subject": {"type": "client", "id": "01890a5d-ac96-774b-bcce-b302099a8059", "name": "Contoso"}, "details": {"external_ref": null}}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/audit-events")]
pub async fn list_audit_events(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<AuditEventBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let wanted = Wanted::default();
    let rows = audit::list(&mut db, &api.keyring, &scope, &wanted, (window.after, window.fetch())).await?;
    Ok(web::Json(window.page(rows, |event| event.id, AuditEventBody::from)))
}
