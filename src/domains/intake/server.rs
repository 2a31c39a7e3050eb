//! An MDM server as somebody gives it.
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    entra::Tenant,
    input::{FieldError, escape},
    vendors::{self, Enrollment, Vendor},
};

pub type Parameters = serde_json::Map<String, serde_json::Value>;

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
    /// What Entra says, if it was asked; else what to do without.
    #[serde(skip)]
    pub tenant: Option<Result<Tenant, String>>,
}

impl ServerInput {
    /// Of a domain's Intune server the tenant may be left out.
    pub fn lacks_tenant(&self) -> bool {
        self.vendor == Vendor::Intune.key() && !self.parameters.contains_key("tenant_id")
    }

    pub fn set_tenant(&mut self, found: Result<Tenant, String>) {
        self.tenant = Some(found);
    }

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
        match &self.tenant {
            None => configure(vendor, enrollment, &self.parameters),
            Some(Ok(tenant)) => configure(vendor, enrollment, &self.parameters_with(tenant)?),
            Some(Err(detail)) => configure(vendor, enrollment, &self.parameters).map_err(|errors| {
                let told = |error: FieldError| match error.pointer.as_str() {
                    "/parameters/tenant_id" => FieldError::new(error.pointer, detail),
                    _ => error,
                };
                errors.into_iter().map(told).collect()
            }),
        }
    }

    fn parameters_with(&self, tenant: &Tenant) -> Result<Parameters, Vec<FieldError>> {
        let mut parameters = self.parameters.clone();
        let cloud = tenant.cloud.as_str();
        match parameters.get("cloud") {
            Some(given) if given.as_str() != Some(cloud) => {
                let detail = format_args!("Microsoft Entra says that the tenant runs in `{cloud}`: leave this out");
                return Err(vec![FieldError::new("/parameters/cloud", detail)]);
            }
            _ => {}
        }
        parameters.insert("tenant_id".into(), tenant.tenant_id.to_string().into());
        parameters.insert("cloud".into(), cloud.into());
        Ok(parameters)
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
