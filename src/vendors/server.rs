//! A configured MDM server: parsed, normalised, ready to serve.

use super::parameters::{ParameterError, Values};
use super::{Enrollment, Vendor};
use serde_json::{Map, Value};

/// The server of `vendor` that `parameters` describe; without an `enrollment`, the vendor's default one.
/// Everything that is wrong is reported at once.
pub fn configure(
    vendor: Vendor,
    enrollment: Option<Enrollment>,
    parameters: &Map<String, Value>,
) -> Result<Server, Vec<ParameterError>> {
    let description = vendor.description();
    match (
        description.template(enrollment),
        Values::parse(vendor.name(), description.parameters, parameters),
    ) {
        (Ok(template), Ok(values)) => Ok(Server {
            vendor,
            enrollment: template.enrollment,
            answer: template.fill(&values),
            parameters: values.into_stored(),
        }),
        (template, values) => Err(template
            .err()
            .into_iter()
            .chain(values.err().into_iter().flatten())
            .collect()),
    }
}

/// Built by [`configure`] and [`recognise`](super::recognise) only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    vendor: Vendor,
    enrollment: Enrollment,
    parameters: Map<String, Value>,
    answer: Answer,
}

impl Server {
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    pub fn enrollment(&self) -> Enrollment {
        self.enrollment
    }

    /// In normal form and with the defaults filled in: what is stored and shown. Configuring with them again
    /// gives an equal server.
    pub fn parameters(&self) -> &Map<String, Value> {
        &self.parameters
    }

    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    pub fn version(&self) -> &'static str {
        self.enrollment.version()
    }

    /// `None` for a vendor that is redirected to: there the vendor's own discovery names it.
    pub fn base_url(&self) -> Option<&str> {
        match &self.answer {
            Answer::Document { base_url, .. } => Some(base_url),
            Answer::Redirect { .. } => None,
        }
    }
}

/// What a device that asks is told. The URLs are ASCII and hold nothing that JSON or a header would escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Document {
        version: Enrollment,
        /// May hold [`MODEL_FAMILY_PLACEHOLDER`](super::MODEL_FAMILY_PLACEHOLDER).
        base_url: String,
    },
    /// The client does not add its query to the target.
    Redirect { url: String },
}

#[cfg(test)]
mod tests {
    use super::super::MODEL_FAMILY_PLACEHOLDER;
    use super::*;
    use serde_json::json;

    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn each_vendor_is_told_as_its_source_says() {
        let cases = [
            (
                "intune",
                None,
                json!({"tenant_id": TENANT}),
                "mdm-byod",
                "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47",
            ),
            (
                "intune",
                Some(Enrollment::Byod),
                json!({"tenant_id": TENANT.to_uppercase(), "cloud": "us_government"}),
                "mdm-byod",
                "https://manage.microsoft.us/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47",
            ),
            (
                "intune",
                None,
                json!({"tenant_id": TENANT, "cloud": "china"}),
                "mdm-byod",
                "https://manage.microsoft.cn/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47",
            ),
            (
                "jamf_pro",
                None,
                json!({"host": "Contoso.JamfCloud.com"}),
                "mdm-byod",
                "https://contoso.jamfcloud.com/servicediscoveryenrollment/v1/userenroll",
            ),
            (
                "jamf_pro",
                Some(Enrollment::Adde),
                json!({"host": "mdm.contoso.com:8443"}),
                "mdm-adde",
                "https://mdm.contoso.com:8443/servicediscoveryenrollment/v1/deviceenroll",
            ),
            (
                "fleet",
                None,
                json!({"host": "fleet.contoso.com."}),
                "mdm-byod",
                "https://fleet.contoso.com/api/mdm/apple/account_driven_enroll",
            ),
            (
                "manageengine",
                None,
                json!({"host": "mdm.manageengine.eu", "template_token": "a b", "encapi_key": "x+/=&ü%#"}),
                "mdm-byod",
                "https://mdm.manageengine.eu/mdm/client/v1/enroll?templateToken=a%20b&encapiKey=x%2B%2F%3D%26%C3%BC%25%23",
            ),
            (
                "manageengine",
                Some(Enrollment::Adde),
                json!({"host": "mdm.contoso.com:9383", "template_token": "{model_family}", "encapi_key": "k-._~9"}),
                "mdm-adde",
                "https://mdm.contoso.com:9383/mdm/client/v1/enroll?templateToken=%7Bmodel_family%7D&encapiKey=k-._~9",
            ),
            (
                "mosyle",
                None,
                json!({"account": "BIZ-40460"}),
                "mdm-adde",
                "https://biz-40460.business.mosyle.io/api/v2enrollment/enroll/adde?model-family={model_family}",
            ),
            (
                "custom",
                None,
                json!({"base_url": "HTTPS://MDM.Contoso.com:443/Enroll?Org=1"}),
                "mdm-byod",
                "https://mdm.contoso.com/Enroll?Org=1",
            ),
            (
                "custom",
                Some(Enrollment::Adde),
                json!({"base_url": "https://mdm.contoso.com"}),
                "mdm-adde",
                "https://mdm.contoso.com/",
            ),
        ];
        for (key, enrollment, parameters, version, base_url) in cases {
            let server = configured(key, enrollment, &parameters).unwrap();
            assert_eq!((server.version(), server.base_url()), (version, Some(base_url)));
            let answered = base_url.replace(MODEL_FAMILY_PLACEHOLDER, "iPhone");
            assert_eq!(url::Url::parse(&answered).unwrap().as_str(), answered);
            let again = configure(server.vendor(), Some(server.enrollment()), server.parameters());
            assert_eq!(again.as_ref(), Ok(&server));
        }
    }

    #[test]
    fn ivanti_is_answered_by_a_redirect_for_either_enrollment() {
        for enrollment in Enrollment::ALL {
            let server = configured(
                "ivanti_neurons",
                Some(enrollment),
                &json!({"cluster": "NA1.mobileiron.com"}),
            )
            .unwrap();
            let url = "https://na1.mobileiron.com/.well-known/com.apple.remotemanagement".to_owned();
            assert_eq!(server.answer(), &Answer::Redirect { url });
            assert_eq!((server.base_url(), server.enrollment()), (None, enrollment));
        }
    }

    #[test]
    fn the_parameters_are_kept_in_normal_form_with_the_defaults_filled_in() {
        let server = configured("intune", None, &json!({"tenant_id": TENANT.to_uppercase()})).unwrap();
        assert_eq!(
            json!(server.parameters()),
            json!({"tenant_id": TENANT, "cloud": "global"})
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let errors = configured(
            "intune",
            Some(Enrollment::Adde),
            &json!({"tenantId": TENANT, "cloud": "mars", "colour": 7}),
        )
        .unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.parameter.as_str()).collect();
        assert_eq!(named, ["", "tenant_id", "cloud", "colour", "tenantId"]);
        assert!(errors[4].detail.contains("tenant_id, cloud"), "{}", errors[4].detail);
    }

    #[test]
    fn a_value_that_would_lead_devices_astray_is_refused_with_the_reason() {
        let cases = [
            (
                "intune",
                json!({"tenant_id": TENANT, "cloud": "Global"}),
                "one of global, us_government, china",
            ),
            (
                "jamf_pro",
                json!({"host": "x.jamfcloud.com.com"}),
                "looks like jamfcloud.com",
            ),
            (
                "fleet",
                json!({"host": "https://fleet.contoso.com"}),
                "the host name alone",
            ),
            (
                "mosyle",
                json!({"account": "biz-1.business.mosyle.io"}),
                "first part of the host name",
            ),
            (
                "ivanti_neurons",
                json!({"cluster": "na1.mobileiron.com:8443"}),
                "Remove :8443",
            ),
            (
                "custom",
                json!({"base_url": "https://x.jamfcloud.com.evil.example/"}),
                "looks like jamfcloud.com",
            ),
            (
                "custom",
                json!({"base_url": "https://mdm.contoso.com/{model_family}"}),
                "reserved",
            ),
        ];
        for (key, parameters, reason) in cases {
            let errors = configured(key, None, &parameters).unwrap_err();
            assert!(errors.len() == 1 && errors[0].detail.contains(reason), "{errors:?}");
        }
    }

    fn configured(
        key: &str,
        enrollment: Option<Enrollment>,
        parameters: &Value,
    ) -> Result<Server, Vec<ParameterError>> {
        configure(
            Vendor::from_key(key).unwrap(),
            enrollment,
            parameters.as_object().unwrap(),
        )
    }
}
