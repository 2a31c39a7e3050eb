//! Who the caller is.
use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::Problem;
use crate::accounts::Actor;

#[derive(Serialize, ToSchema)]
pub struct Me {
    organisation: MyOrganisation,
    token: MyToken,
}

#[derive(Serialize, ToSchema)]
pub struct MyOrganisation {
    id: Uuid,
    #[schema(example = "Acme IT")]
    name: String,
}

#[derive(Serialize, ToSchema)]
pub struct MyToken {
    id: Uuid,
    #[schema(example = "First token")]
    name: String,
    #[schema(example = json!(["domains:read", "domains:write"]))]
    scopes: Vec<&'static str>,
    /// Set: the token sees this client only.
    client_id: Option<Uuid>,
}

/// Who am I
///
/// The organisation and the token that the request speaks for.
#[utoipa::path(
    tag = "Account",
    responses(
        (status = 200, body = Me, example = json!({
            "organisation": {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Acme IT"},
            "token": {"id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "First token", "scopes": ["domains:read", "domains:write"], "client_id": null},
        })),
        (status = 401, body = Problem),
    ),
)]
#[get("/me")]
pub async fn me(actor: Actor) -> web::Json<Me> {
    web::Json(Me {
        organisation: MyOrganisation {
            id: actor.organisation_id,
            name: actor.organisation_name,
        },
        token: MyToken {
            id: actor.token_id,
            name: actor.token_name,
            scopes: actor.permissions.iter().map(|permission| permission.as_str()).collect(),
            client_id: actor.client_id,
        },
    })
}
