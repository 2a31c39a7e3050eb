//! Which vendor's template a pasted discovery document was made from, and with which parameters.

use super::base_urls::{self, BaseUrl};
use super::document::{self, DocumentError};
use super::{Kind, Parameter, Server, Vendor, configure};
use serde_json::{Map, Value};

/// The server that answers as `document` does: the vendor's where a template matches, else [`Vendor::Custom`].
pub fn recognise(document: &str) -> Result<Server, DocumentError> {
    let (enrollment, base_url) = document::read(document)?;
    let base_url = base_urls::with_normal_host(&base_url)?;
    let read_by = |vendor: Vendor| Some((vendor, vendor.description().read(enrollment, &base_url)?));
    let (vendor, parameters) = match Vendor::ALL.into_iter().find_map(read_by) {
        Some(found) => found,
        None => (Vendor::Custom, custom(BaseUrl::parse(&base_url)?)),
    };
    configure(vendor, Some(enrollment), &parameters).map_err(|errors| DocumentError::Parameters {
        vendor: vendor.name(),
        errors,
    })
}

/// The vendor whose service alone has this host. The hosts of a vendor's customers tell nothing of the kind.
pub fn owner_of_host(host: &str) -> Option<Vendor> {
    let is_choice = |parameter: &Parameter| match &parameter.kind {
        Kind::Enum { choices, .. } => choices.iter().any(|choice| choice.in_url == host),
        _ => false,
    };
    Vendor::ALL
        .into_iter()
        .find(|vendor| vendor.description().parameters.iter().any(is_choice))
}

fn custom(base_url: BaseUrl) -> Map<String, Value> {
    Map::from_iter([("base_url".to_owned(), Value::String(base_url.into_string()))])
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Enrollment};
    use super::*;
    use serde_json::json;

    const INTUNE: &str = r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47"}]}"#;

    #[test]
    fn intunes_document_is_read_and_answered_to_the_byte() {
        let server = recognise(INTUNE).unwrap();
        assert_eq!(server.vendor(), Vendor::Intune);
        let parameters = json!({"tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47", "cloud": "global"});
        assert_eq!(json!(server.parameters()), parameters);
        let (version, base_url) = (server.version(), server.base_url().unwrap());
        assert_eq!(
            format!(r#"{{"Servers":[{{"Version":"{version}","BaseURL":"{base_url}"}}]}}"#),
            INTUNE
        );
    }

    #[test]
    fn every_document_that_a_vendor_gives_leads_back_to_that_vendor() {
        let cases = [
            (
                "intune",
                json!({"tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47", "cloud": "us_government"}),
            ),
            ("jamf_pro", json!({"host": "contoso.jamfcloud.com"})),
            ("fleet", json!({"host": "fleet.contoso.com:8443"})),
            (
                "manageengine",
                json!({"host": "mdm.manageengine.com.au", "template_token": "a&b={x}", "encapi_key": "k+/="}),
            ),
            ("mosyle", json!({"account": "biz-40460"})),
            ("custom", json!({"base_url": "https://mdm.contoso.com/enroll?x=1"})),
        ];
        for (key, parameters) in cases {
            let vendor = Vendor::from_key(key).unwrap();
            for enrollment in vendor.description().enrollments() {
                let server = configure(vendor, Some(enrollment), parameters.as_object().unwrap()).unwrap();
                let document = document(server.version(), server.base_url().unwrap());
                assert_eq!(recognise(&document).unwrap(), server);
            }
        }
    }

    #[test]
    fn real_documents_are_recognised_whatever_their_order_case_or_escapes() {
        let cases = [
            (r#"{"Servers":[{"BaseURL":"https:\/\/biz-40460.business.mosyle.io\/api\/v2enrollment\/enroll\/adde?model-family=Mac","Version":"mdm-adde"}]}"#.to_owned(),
             "mosyle", json!({"account": "biz-40460"})),
            (document("mdm-byod", "https://mdm.manageengine.com:443/mdm/client/v1/enroll?encapiKey=Gk%2BFYbz%2bw8%3D&templateToken=3cca80"),
             "manageengine", json!({"host": "mdm.manageengine.com", "template_token": "3cca80", "encapi_key": "Gk+FYbz+w8="})),
            (document("mdm-byod", "HTTPS://Manage.Microsoft.US/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72F988BF-86F1-41AF-91AB-2D7CD011DB47"),
             "intune", json!({"tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47", "cloud": "us_government"})),
            (format!("\u{feff}\r\n\t {INTUNE} \n\u{a0}"),
             "intune", json!({"tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47", "cloud": "global"})),
            (r#"{"$schema":1,"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.contoso.com/servicediscoveryenrollment/v1/userenroll","Note":null}]}"#.to_owned(),
             "jamf_pro", json!({"host": "mdm.contoso.com"})),
        ];
        for (text, key, parameters) in cases {
            let server = recognise(&text).unwrap();
            assert_eq!((server.vendor().key(), json!(server.parameters())), (key, parameters));
        }
    }

    #[test]
    fn a_url_that_no_template_gives_exactly_is_kept_as_it_is() {
        let cases = [
            (
                "mdm-adde",
                "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47",
            ),
            (
                "mdm-byod",
                "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47&x=1",
            ),
            (
                "mdm-byod",
                "https://mdm.contoso.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=x",
            ),
            (
                "mdm-byod",
                "https://mdm.contoso.com/jamf/servicediscoveryenrollment/v1/userenroll",
            ),
            (
                "mdm-adde",
                "https://mdm.contoso.com/servicediscoveryenrollment/v1/userenroll",
            ),
            (
                "mdm-byod",
                "https://mdm.contoso.com/servicediscoveryenrollment/v1/userenroll?",
            ),
            (
                "mdm-byod",
                "https://fleet.contoso.com/api/mdm/apple/account_driven_enroll/7d6f",
            ),
            (
                "mdm-byod",
                "https://mdm.manageengine.com/mdm/client/v1/enroll?templateToken=a+b&encapiKey=k",
            ),
            (
                "mdm-byod",
                "https://na1.mobileiron.com/.well-known/com.apple.remotemanagement",
            ),
            (
                "mdm-adde",
                "https://a.b.business.mosyle.io/api/v2enrollment/enroll/adde?model-family=Mac",
            ),
        ];
        for (version, base_url) in cases {
            let server = recognise(&document(version, base_url)).unwrap();
            let enrollment = Enrollment::from_version(version).unwrap();
            let answer = Answer::Document {
                version: enrollment,
                base_url: base_url.to_owned(),
            };
            assert_eq!((server.vendor(), server.answer()), (Vendor::Custom, &answer));
        }
    }

    #[test]
    fn a_host_of_a_vendors_own_service_tells_whose_it_is() {
        assert_eq!(owner_of_host("manage.microsoft.us"), Some(Vendor::Intune));
        for host in ["microsoft.com", "contoso.jamfcloud.com", "mdm.contoso.com", ""] {
            assert_eq!(owner_of_host(host), None, "{host}");
        }
    }

    fn document(version: &str, base_url: &str) -> String {
        json!({"Servers": [{"Version": version, "BaseURL": base_url}]}).to_string()
    }
}
