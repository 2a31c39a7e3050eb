//! Who is invited. The link is in the mail, and nowhere else.
use actix_web::{HttpResponse, delete, get, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    author_body::{AuthorBody, author},
    body::Body,
    members::parse_role,
    page::{Page, PageParams, Params},
    problem::Problem,
};
use crate::{
    accounts::{
        Actor, Permission,
        authorship::Authors,
        email::Email,
        invitations::{self, Invitation, InvitationError, NewInvitation, Sender},
        members::Standing,
    },
    input::FieldError,
};

#[derive(Serialize, ToSchema)]
pub struct InvitationBody {
    id: Uuid,
    #[schema(example = "grace@contoso.com")]
    email: String,
    /// `owner`, `admin`, `editor` or `viewer`.
    #[schema(example = "editor")]
    role: &'static str,
    /// Set: whoever accepts sees this client only.
    client_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Null for invitations from before it was written down.
    created_by: Option<AuthorBody>,
}

impl InvitationBody {
    fn new(invitation: Invitation, created_by: Option<AuthorBody>) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email.expose().to_owned(),
            role: invitation.standing.role().as_str(),
            client_id: invitation.standing.client_id(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            created_by,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "grace@contoso.com", "role": "editor"}))]
pub struct NewInvitationBody {
    email: String,
    /// `admin`, `editor` or `viewer`; owners are invited by owners, in the console.
    role: String,
    /// Limits an editor or a viewer to one client.
    #[serde(default)]
    client_id: Option<Uuid>,
}

impl NewInvitationBody {
    fn parse(self) -> Result<NewInvitation, Problem> {
        let email = Email::parse(&self.email);
        Ok(NewInvitation {
            email: email.map_err(|detail| Problem::invalid(vec![FieldError::new("/email", detail)]))?,
            standing: Standing::new(parse_role(&self.role)?, self.client_id)?,
        })
    }
}

/// List invitations
///
/// Those that are open.
#[utoipa::path(
    tag = "People",
    params(PageParams),
    responses(
        (status = 200, body = Page<InvitationBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "email": "grace@contoso.com", "role": "editor", "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": "2026-11-08T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/invitations")]
pub async fn list_invitations(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<InvitationBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let wanted = (window.after, window.fetch());
    let open = invitations::list(&mut db, &api.keyring, &scope, wanted, now).await?;
    let stored = open.iter().map(|invitation| &invitation.author);
    let authors = Authors::find(&mut db, &api.keyring, &scope, stored).await?;
    let body = |invitation: Invitation| {
        let author = authors.author(&invitation.author);
        InvitationBody::new(invitation, author.map(AuthorBody::from))
    };
    Ok(web::Json(window.page(open, |invitation| invitation.id, body)))
}

/// Invite somebody
///
/// Sends a mail with a link that works once, for seven days. An organisation has at most 50 open invitations, and sends
/// at most 100 in 24 hours.
#[utoipa::path(
    tag = "People",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewInvitationBody,
    responses(
        (status = 201, body = InvitationBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "email": "grace@contoso.com", "role": "editor", "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": "2026-11-08T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}})),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, description = "A member already, invited already, or too many", body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/invitations")]
pub async fn create_invitation(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<NewInvitationBody>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let new = body.read().await?.parse()?;
    let sender = Sender {
        keyring: &api.keyring,
        portal_url: &api.portal_url,
    };
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let invitation = invitations::invite(&mut tx, sender, &scope, &new, now).await?;
    let created_by = author(&mut tx, &api, &scope, &invitation.author).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(InvitationBody::new(invitation, created_by)))
}

/// Send an invitation again
///
/// With another link, which works for seven days from now; the one before is over.
#[utoipa::path(
    tag = "People",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = InvitationBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "email": "grace@contoso.com", "role": "editor", "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": "2026-11-12T09:00:00Z", "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    ),
)]
#[post("/invitations/{id}/resend")]
pub async fn resend_invitation(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<web::Json<InvitationBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let id = id.parse().map_err(|_| InvitationError::NotFound)?;
    let sender = Sender {
        keyring: &api.keyring,
        portal_url: &api.portal_url,
    };
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let invitation = invitations::resend(&mut tx, sender, &scope, id, now).await?;
    let created_by = author(&mut tx, &api, &scope, &invitation.author).await?;
    tx.commit().await?;
    Ok(web::Json(InvitationBody::new(invitation, created_by)))
}

/// Delete an invitation
///
/// Its link shows nothing any more, at once.
#[utoipa::path(
    tag = "People",
    params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such invitation", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/invitations/{id}")]
pub async fn delete_invitation(
    actor: Actor,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let id = id.parse().map_err(|_| InvitationError::NotFound)?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    invitations::revoke(&mut tx, &scope, id, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}
