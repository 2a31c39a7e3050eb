//! API tokens.
use actix_web::{HttpResponse, delete, get, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
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
    accounts::{
        Actor, Permission,
        authorship::Authors,
        token::{self, ApiToken, Asked, TokenError, store},
    },
    input::optional_time,
};

#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    id: Uuid,
    #[schema(example = "Nightly sync")]
    name: String,
    #[schema(example = json!(["domains:read", "requests:read"]))]
    scopes: Vec<&'static str>,
    client_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    /// Null for tokens from before it was written down.
    created_by: Option<AuthorBody>,
    /// The token itself: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenBody {
    fn new(token: ApiToken, created_by: Option<AuthorBody>) -> Self {
        let ApiToken {
            id,
            name,
            scopes,
            client_id,
            created_at,
            expires_at,
            last_used_at,
            author: _,
        } = token;
        let scopes = scopes.into_iter().map(Permission::as_str).collect();
        Self {
            id,
            name,
            scopes,
            client_id,
            created_at,
            expires_at,
            last_used_at,
            created_by,
            token: None,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Nightly sync", "scopes": ["domains:read", "requests:read"], "expires_at": "2027-11-01T00:00:00Z"}))]
pub struct NewTokenBody {
    name: String,
    /// Of `domains:read`, `domains:write`, `requests:read`, `organisation:admin`.
    scopes: Vec<String>,
    /// Limits it to one client.
    #[serde(default)]
    client_id: Option<Uuid>,
    #[serde(default, deserialize_with = "optional_time")]
    expires_at: Option<DateTime<Utc>>,
}

impl From<NewTokenBody> for Asked {
    fn from(body: NewTokenBody) -> Self {
        let NewTokenBody {
            name,
            scopes,
            client_id,
            expires_at,
        } = body;
        Self {
            name,
            scopes,
            client_id,
            expires_at,
        }
    }
}

/// List tokens
#[utoipa::path(
    tag = "Account",
    params(PageParams),
    responses(
        (status = 200, body = Page<TokenBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Nightly sync", "scopes": ["domains:read"], "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": null, "last_used_at": null, "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/tokens")]
pub async fn list_tokens(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<TokenBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let rows = store::list(&mut db, &scope, window.after, window.fetch()).await?;
    let authors = Authors::find(&mut db, &api.keyring, &scope, rows.iter().map(|token| &token.author)).await?;
    let body = |token: ApiToken| {
        let author = authors.author(&token.author);
        TokenBody::new(token, author.map(AuthorBody::from))
    };
    Ok(web::Json(window.page(rows, |token| token.id, body)))
}

/// Make a token
///
/// Its text is in this answer and nowhere else: keep it.
#[utoipa::path(
    tag = "Account",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewTokenBody,
    responses(
        (status = 201, body = TokenBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Nightly sync", "scopes": ["domains:read", "requests:read"], "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": "2027-11-01T00:00:00Z", "last_used_at": null, "created_by": {"type": "member", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Ada Lovelace"}, "token": "sgp_0123456789abcdefghijABCDEFGHIJ01aB3dE5"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/tokens")]
pub async fn create_token(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<NewTokenBody>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let asked = Asked::from(body.read().await?);
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let new = asked.parse(&scope, now)?;
    let (token, text) = token::create(&mut tx, &scope, new).await?;
    let created_by = author(&mut tx, &api, &scope, &token.author).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(TokenBody {
        token: Some(text.expose().to_owned()),
        ..TokenBody::new(token, created_by)
    }))
}

/// Delete a token
///
/// It stops working at once.
#[utoipa::path(
    tag = "Account",
    params(("id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such token", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/tokens/{id}")]
pub async fn delete_token(actor: Actor, api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let id = id.parse().map_err(|_| TokenError::NotFound)?;
    let mut tx = api.pool.begin().await?;
    token::revoke(&mut tx, &scope, id).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}
