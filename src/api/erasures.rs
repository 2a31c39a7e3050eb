//! Erasing what one person's devices asked.
use actix_web::{HttpResponse, get, post, web};
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
    accounts::{Actor, Permission},
    input::FieldError,
    request_log::erasure::{self, Erasure, Identifier, store},
};

#[derive(Serialize, ToSchema)]
pub struct ErasureBody {
    id: Uuid,
    /// What the person asked before this time is erased.
    requested_at: DateTime<Utc>,
    /// When the last row was gone; null until then.
    #[schema(example = json!(null))]
    completed_at: Option<DateTime<Utc>>,
    #[schema(example = 0)]
    erased_rows: i64,
}

impl From<Erasure> for ErasureBody {
    fn from(erasure: Erasure) -> Self {
        let Erasure {
            id,
            requested_at,
            completed_at,
            erased_rows,
        } = erasure;
        Self {
            id,
            requested_at,
            completed_at,
            erased_rows,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_identifier": "ada@contoso.com"}))]
pub struct NewErasure {
    /// What the person's devices sent as `user-identifier`: usually the work address.
    user_identifier: String,
}

/// Erase one person's requests
///
/// All rows of the request log, of every domain, that came from this person's devices before now. Done within minutes, and
/// again with what another node ships late. Counts stay: they name nobody. For `organisation:admin`.
#[utoipa::path(
    tag = "Requests",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = NewErasure,
    responses(
        (status = 202, body = ErasureBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "requested_at": "2026-11-01T09:00:00Z", "completed_at": null, "erased_rows": 0})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/requests/erasures")]
pub async fn erase_requests(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<NewErasure>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let body = body.read().await?;
    let identifier = Identifier::parse(&body.user_identifier)
        .map_err(|detail| Problem::invalid(vec![FieldError::new("/user_identifier", detail)]))?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let erasure = erasure::request(&mut tx, &api.keyring, &scope, &identifier, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::Accepted().json(ErasureBody::from(erasure)))
}

/// List erasures
///
/// Newest first, for 31 days. Whose requests they erase is not told.
#[utoipa::path(
    tag = "Requests",
    params(PageParams),
    responses(
        (status = 200, body = Page<ErasureBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "requested_at": "2026-11-01T09:00:00Z", "completed_at": "2026-11-01T09:01:12Z", "erased_rows": 12}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/requests/erasures")]
pub async fn list_erasures(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<ErasureBody>>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let window = params.0.window()?;
    let mut db = api.pool.acquire().await?;
    let rows = store::list(&mut db, &scope, window.after, window.fetch()).await?;
    Ok(web::Json(window.page(rows, |erasure| erasure.id, ErasureBody::from)))
}
