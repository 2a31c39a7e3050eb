//! Reading the document that an MDM's console shows.
use actix_web::{post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{body::Body, mdm_servers::address, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    domains::intake::Parameters,
    input::FieldError,
    vendors,
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"document": "{\"Servers\":[{\"Version\":\"mdm-byod\",\"BaseURL\":\"https://acme.jamfcloud.com/servicediscoveryenrollment/v1/userenroll\"}]}"}))]
pub struct PastedDocument {
    /// The JSON that your MDM's console shows, as text.
    document: String,
}

/// What a pasted document says.
#[derive(Serialize, ToSchema)]
pub struct RecognisedServer {
    #[schema(example = "jamf_pro")]
    vendor: &'static str,
    #[schema(value_type = Object, example = json!({"host": "acme.jamfcloud.com"}))]
    parameters: Parameters,
    #[schema(example = "byod")]
    enrollment: &'static str,
    #[schema(example = "mdm-byod")]
    version: &'static str,
    base_url: String,
}

/// Read a discovery document
///
/// Finds the vendor, parameters and enrollment of the JSON that an MDM's console shows; `custom` if no vendor's address fits. Nothing is stored.
#[utoipa::path(
    tag = "MDM servers",
    request_body = PastedDocument,
    responses(
        (status = 200, body = RecognisedServer, example = json!({"vendor": "jamf_pro", "parameters": {"host": "acme.jamfcloud.com"}, "enrollment": "byod", "version": "mdm-byod", "base_url": "https://acme.jamfcloud.com/servicediscoveryenrollment/v1/userenroll"})),
        (status = 401, body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/mdm-servers/parse")]
pub async fn parse_document(actor: Actor, body: Body<PastedDocument>) -> Result<web::Json<RecognisedServer>, Problem> {
    actor.scope(Permission::DomainsRead)?;
    let body = body.read().await?;
    let server = vendors::recognise(&body.document)
        .map_err(|error| Problem::invalid(vec![FieldError::new("/document", error)]))?;
    Ok(web::Json(RecognisedServer {
        vendor: server.vendor().key(),
        parameters: server.parameters().clone(),
        enrollment: server.enrollment().key(),
        version: server.version(),
        base_url: address(&server),
    }))
}
