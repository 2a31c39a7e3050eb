//! An organisation's people. Their addresses are personal data: all of this is for `organisation:admin`.
use actix_web::{HttpResponse, delete, get, patch, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
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
        Actor, Permission,
        members::{self, Colleague, MemberError, Standing},
        role::Role,
    },
    input::FieldError,
};

#[derive(Serialize, ToSchema)]
pub struct MemberBody {
    /// The person's: the same in every organisation.
    id: Uuid,
    #[schema(example = "ada@contoso.com")]
    email: String,
    #[schema(example = "Ada Lovelace")]
    name: Option<String>,
    /// `owner`, `admin`, `editor` or `viewer`.
    #[schema(example = "editor")]
    role: &'static str,
    /// Set: this person sees this client only.
    client_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    last_seen_at: Option<DateTime<Utc>>,
}

impl From<Colleague> for MemberBody {
    fn from(member: Colleague) -> Self {
        Self {
            id: member.user_id,
            email: member.email.expose().to_owned(),
            name: member.name,
            role: member.standing.role().as_str(),
            client_id: member.standing.client_id(),
            created_at: member.joined_at,
            last_seen_at: member.seen_at,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "viewer"}))]
pub struct MemberChange {
    /// `owner`, `admin`, `editor` or `viewer`.
    #[serde(default)]
    role: Option<String>,
    /// Limits an editor or a viewer to one client; null: all clients.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    client_id: Option<Option<Uuid>>,
}

/// What a body names as a role.
pub(super) fn parse_role(text: &str) -> Result<Role, Problem> {
    Role::parse(text).ok_or_else(|| {
        let all = Role::ALL.map(Role::as_str).join(", ");
        Problem::invalid(vec![FieldError::new("/role", format_args!("is not one of {all}"))])
    })
}

/// List members
#[utoipa::path(
    tag = "People",
    params(PageParams),
    responses(
        (status = 200, body = Page<MemberBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "email": "ada@contoso.com", "name": "Ada Lovelace", "role": "owner", "client_id": null, "created_at": "2026-11-01T09:00:00Z", "last_seen_at": "2026-11-23T08:12:40Z"}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/members")]
pub async fn list_members(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<MemberBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let members = members::list(&mut db, &api.keyring, &scope, window.after, window.fetch()).await?;
    Ok(web::Json(window.page(
        members,
        |member| member.user_id,
        MemberBody::from,
    )))
}

/// Change a member
///
/// What is left out stays. A token may as much as an admin: owners are made, changed and removed by owners, in the
/// console.
#[utoipa::path(
    tag = "People",
    params(("id" = Uuid, Path)),
    request_body = MemberChange,
    responses(
        (status = 200, body = MemberBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "email": "ada@contoso.com", "name": "Ada Lovelace", "role": "viewer", "client_id": null, "created_at": "2026-11-01T09:00:00Z", "last_seen_at": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/members/{id}")]
pub async fn update_member(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
    body: Body<MemberChange>,
) -> Result<web::Json<MemberBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let id: Uuid = id.parse().map_err(|_| MemberError::NotFound)?;
    members::find(&mut *api.pool.acquire().await?, &api.keyring, &scope, id).await?;
    let change = body.read().await?;
    let role = change.role.as_deref().map(parse_role).transpose()?;
    let mut tx = api.pool.begin().await?;
    members::store::lock(&mut tx, &scope).await?;
    let before = members::find(&mut tx, &api.keyring, &scope, id).await?.standing;
    let wanted = Standing::new(
        role.unwrap_or(before.role()),
        change.client_id.unwrap_or(before.client_id()),
    )?;
    members::change(&mut tx, &scope, id, wanted).await?;
    let member = members::find(&mut tx, &api.keyring, &scope, id).await?;
    tx.commit().await?;
    Ok(web::Json(member.into()))
}

/// Remove a member
///
/// Their sessions here end at once. Whoever is a member of no other organisation has no account any more.
#[utoipa::path(
    tag = "People",
    params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such member", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"})), (status = 409, body = Problem)),
)]
#[delete("/members/{id}")]
pub async fn delete_member(actor: Actor, api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let id = id.parse().map_err(|_| MemberError::NotFound)?;
    let mut tx = api.pool.begin().await?;
    members::remove(&mut tx, &scope, id).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}
