//! API tokens.
use actix_web::{HttpResponse, delete, get, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::Body,
    page::{Page, PageParams, Params},
    problem::Problem,
};
use crate::{
    accounts::{
        Actor, Permission,
        token::{self, ApiToken, NewToken, TokenError, store},
    },
    input::{FieldError, Name, optional_time},
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
    /// The token itself: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<ApiToken> for TokenBody {
    fn from(token: ApiToken) -> Self {
        let ApiToken {
            id,
            name,
            scopes,
            client_id,
            created_at,
            expires_at,
            last_used_at,
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

impl NewTokenBody {
    fn parse(self, actor: &Actor, now: DateTime<Utc>) -> Result<NewToken, Problem> {
        let mut errors = Vec::new();
        let name = Name::parse(&self.name).map_err(|detail| errors.push(FieldError::new("/name", detail)));
        let mut scopes = Vec::new();
        for (index, text) in self.scopes.iter().enumerate() {
            match Permission::parse(text) {
                Some(scope) => scopes.push(scope),
                None => errors.push(FieldError::new(
                    format!("/scopes/{index}"),
                    format_args!("is not one of {}", Permission::ALL.map(Permission::as_str).join(", ")),
                )),
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        if self.scopes.is_empty() {
            errors.push(FieldError::new("/scopes", "name at least one"));
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            errors.push(FieldError::new("/expires_at", "has passed"));
        }
        // Whoever is limited to a client makes tokens for that client only.
        let client_id = self.client_id.or(actor.client_id);
        if actor.client_id.is_some() && client_id != actor.client_id {
            return Err(TokenError::NoSuchClient.into());
        }
        if client_id.is_some() && actor.client_id.is_none() && scopes.contains(&Permission::OrganisationAdmin) {
            errors.push(FieldError::new(
                "/scopes",
                "a token that is limited to one client can't have organisation:admin",
            ));
        }
        match name {
            Ok(name) if errors.is_empty() => Ok(NewToken {
                name: name.into_string(),
                scopes,
                client_id,
                expires_at: self.expires_at,
            }),
            _ => Err(Problem::invalid(errors)),
        }
    }
}

/// List tokens
#[utoipa::path(
    tag = "Account",
    params(PageParams),
    responses(
        (status = 200, body = Page<TokenBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Nightly sync", "scopes": ["domains:read"], "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": null, "last_used_at": null}], "next_cursor": null})),
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
    Ok(web::Json(window.page(rows, |token| token.id, TokenBody::from)))
}

/// Make a token
///
/// Its text is in this answer and nowhere else: keep it.
#[utoipa::path(
    tag = "Account",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewTokenBody,
    responses(
        (status = 201, body = TokenBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Nightly sync", "scopes": ["domains:read", "requests:read"], "client_id": null, "created_at": "2026-11-01T09:00:00Z", "expires_at": "2027-11-01T00:00:00Z", "last_used_at": null, "token": "sgp_0123456789abcdefghijABCDEFGHIJ01aB3dE5"})),
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
    let new = body.read().await?.parse(&actor, crate::clock::now())?;
    let mut tx = api.pool.begin().await?;
    let (token, text) = token::create(&mut tx, &scope, new).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(TokenBody {
        token: Some(text.expose().to_owned()),
        ..TokenBody::from(token)
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
