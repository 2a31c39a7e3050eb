//! The MDM vendors that we know.
use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::{
    accounts::Actor,
    vendors::{Enrollment, Parameter, Vendor},
};

#[derive(Serialize, ToSchema)]
pub struct Vendors {
    data: Vec<VendorBody>,
}

/// An MDM vendor and what it needs to be told.
#[derive(Serialize, ToSchema)]
pub struct VendorBody {
    #[schema(example = "intune")]
    key: &'static str,
    #[schema(example = "Microsoft Intune")]
    name: &'static str,
    /// The first is the default.
    #[schema(example = json!(["byod"]))]
    enrollments: Vec<&'static str>,
    parameters: Vec<ParameterBody>,
    /// How the address is known: `vendor`, `third_party` or `none`.
    #[schema(example = "vendor")]
    evidence: &'static str,
    /// Where it is written.
    source: &'static str,
}

#[derive(Serialize, ToSchema)]
pub struct ParameterBody {
    #[schema(example = "tenant_id")]
    name: &'static str,
    #[serde(rename = "type")]
    #[schema(example = "uuid")]
    kind: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
}

/// List vendors
///
/// Every MDM vendor with the parameters of its servers, and the evidence for its address.
#[utoipa::path(
    tag = "MDM servers",
    responses(
        (status = 200, body = Vendors, example = json!({"data": [{
            "key": "intune", "name": "Microsoft Intune", "enrollments": ["byod"],
            "parameters": [{"name": "tenant_id", "type": "uuid", "required": true},
                           {"name": "cloud", "type": "enum", "required": false, "values": ["global", "us_government", "china"], "default": "global"}],
            "evidence": "vendor", "source": "https://learn.microsoft.com/mem/intune/enrollment/apple-account-driven-user-enrollment",
        }]})),
        (status = 401, body = Problem),
    ),
)]
#[get("/vendors")]
pub async fn list_vendors(_: Actor) -> web::Json<Vendors> {
    web::Json(Vendors {
        data: Vendor::ALL.into_iter().map(body).collect(),
    })
}

fn body(vendor: Vendor) -> VendorBody {
    let description = vendor.description();
    VendorBody {
        key: vendor.key(),
        name: vendor.name(),
        enrollments: description.enrollments().map(Enrollment::key).collect(),
        parameters: description.parameters.iter().map(parameter).collect(),
        evidence: description.default.evidence.key(),
        source: description.default.source,
    }
}

fn parameter(parameter: &'static Parameter) -> ParameterBody {
    ParameterBody {
        name: parameter.name,
        kind: parameter.kind.key(),
        required: parameter.required,
        values: parameter.kind.values(),
        default: parameter.kind.default(),
    }
}
