//! An MDM server as a program gives it.
use serde::Deserialize;
use utoipa::ToSchema;

use super::{body::escape, mdm_servers::Parameters};
use crate::{
    input::FieldError,
    vendors::{self, Enrollment, Vendor},
};

/// An MDM server as it is given: which vendor, and what the vendor's address needs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerInput {
    #[schema(example = "intune")]
    pub vendor: String,
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"tenant_id": "11111111-2222-3333-4444-555555555555"}))]
    pub parameters: Parameters,
    /// `byod` or `adde`; the vendor's first if not given.
    #[serde(default)]
    #[schema(example = "byod")]
    pub enrollment: Option<String>,
}

impl ServerInput {
    /// Everything that is wrong with it, with pointers below it.
    pub fn configure(&self) -> Result<vendors::Server, Vec<FieldError>> {
        let Some(vendor) = Vendor::from_key(&self.vendor) else {
            let known = Vendor::ALL.map(Vendor::key).join(", ");
            return Err(vec![FieldError::new("/vendor", format_args!("is not one of {known}"))]);
        };
        let enrollment = self
            .enrollment
            .as_deref()
            .map(parse_enrollment)
            .transpose()
            .map_err(|error| vec![error])?;
        configure(vendor, enrollment, &self.parameters)
    }
}

pub fn configure(
    vendor: Vendor,
    enrollment: Option<Enrollment>,
    parameters: &Parameters,
) -> Result<vendors::Server, Vec<FieldError>> {
    vendors::configure(vendor, enrollment, parameters).map_err(|errors| {
        let pointer = |parameter: &str| match parameter {
            "" => "/enrollment".to_owned(),
            name => format!("/parameters/{}", escape(name)),
        };
        errors
            .into_iter()
            .map(|error| FieldError::new(pointer(&error.parameter), error.detail))
            .collect()
    })
}

pub fn parse_enrollment(text: &str) -> Result<Enrollment, FieldError> {
    Enrollment::from_key(text).ok_or_else(|| FieldError::new("/enrollment", "is not `byod` or `adde`"))
}
