//! Who changed what.
use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    page::{self, Page, Params, Window, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission},
    audit::{self, AuditEvent, Wanted, WantedActor, WantedDomain},
    hostname::Hostname,
    input::optional_time,
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// What was done; `domain` alone for everything about domains.
    #[param(example = "domain.created")]
    action: Option<String>,
    /// Who did it: the id of a member or a token, `operator` or `signpost`.
    #[param(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    actor: Option<String>,
    /// To which domain: its id, or the hostname that it had.
    #[param(example = "contoso.com")]
    domain: Option<String>,
    /// From this time on.
    #[serde(default, deserialize_with = "optional_time")]
    since: Option<DateTime<Utc>>,
    /// Before this time.
    #[serde(default, deserialize_with = "optional_time")]
    until: Option<DateTime<Utc>>,
    /// 1 to 100, 50 if not given.
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AuditParams {
    fn wanted(&self) -> Result<Wanted, Problem> {
        let is_action = |text: &&String| {
            let is_part = |byte| matches!(byte, b'a'..=b'z' | b'_' | b'.');
            (1..=100).contains(&text.len()) && text.bytes().all(is_part)
        };
        if self.action.as_ref().is_some_and(|text| !is_action(&text)) {
            return Err(invalid_parameter(
                "action",
                "is none: it is like `domain.created`, or `domain`",
            ));
        }
        let actor = self.actor.as_deref().map(|text| {
            let expected = "is not the id of a member or a token, `operator` or `signpost`";
            WantedActor::parse(text).ok_or_else(|| invalid_parameter("actor", expected))
        });
        let domain = self.domain.as_deref().map(|text| match text.parse() {
            Ok(id) => Ok(WantedDomain::Id(id)),
            Err(_) => Hostname::parse(text)
                .map(|hostname| WantedDomain::Hostname(hostname.to_string()))
                .map_err(|error| invalid_parameter("domain", error)),
        });
        Ok(Wanted {
            action: self.action.clone(),
            actor: actor.transpose()?,
            domain: domain.transpose()?,
            since: self.since,
            until: self.until,
        })
    }
}

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
/// Newest first. A page that has examined many events ends early: then it holds fewer events than fit, or none, and
/// `next_cursor` goes on.
#[utoipa::path(
    tag = "Account",
    params(AuditParams),
    responses(
        (status = 200, body = Page<AuditEventBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "at": "2026-11-01T09:00:00Z", "actor": {"type": "token", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "First token"}, "action": "client.created", "subject": {"type": "client", "id": "01890a5d-ac96-774b-bcce-b302099a8059", "name": "Contoso"}, "details": {"external_ref": null}}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/audit-events")]
pub async fn list_audit_events(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<AuditParams>,
) -> Result<web::Json<Page<AuditEventBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let wanted = params.0.wanted()?;
    let window = Window::parse(params.0.limit, params.0.cursor.as_deref())?;
    let mut db = api.pool.acquire().await?;
    let found = audit::list(&mut db, &api.keyring, &scope, &wanted, (window.after, window.limit())).await?;
    Ok(web::Json(Page {
        data: found.events.into_iter().map(AuditEventBody::from).collect(),
        next_cursor: found.next.map(page::encode),
    }))
}
