//! What one of Entra's answers says. Pure; whatever cannot be read says nothing.
use http::StatusCode;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::{Cloud, Tenant};

/// "Tenant … not found", and "… is neither a valid DNS name, nor a valid external domain".
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
const UNKNOWN: [u32; 2] = [90_002, 900_023];

const MAX_REGION: usize = 32;

#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Known(Tenant),
    Unknown,
    Nothing,
}

/// Of OpenID Connect's discovery document, and Entra's own members of it.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    token_endpoint: String,
    tenant_region_scope: Option<String>,
    tenant_region_sub_scope: Option<String>,
    cloud_instance_name: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error_codes: Vec<u32>,
    #[serde(default)]
    error_description: String,
}

pub fn read(asked: Cloud, status: StatusCode, body: &[u8]) -> Told {
    match status {
        StatusCode::OK => serde_json::from_slice(body)
            .ok()
            .and_then(|configuration| tenant(asked, configuration))
            .map_or(Told::Nothing, Told::Known),
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => match serde_json::from_slice(body) {
            Ok(refusal) if means_unknown(&refusal) => Told::Unknown,
            _ => Told::Nothing,
        },
        _ => Told::Nothing,
    }
}

fn means_unknown(refusal: &Refusal) -> bool {
    let text = &refusal.error_description;
    let is_said = |code: &u32| text.starts_with(&format!("AADSTS{code}:"));
    refusal.error_codes.iter().any(|code| UNKNOWN.contains(code)) || UNKNOWN.iter().any(is_said)
}

fn tenant(asked: Cloud, configuration: Configuration) -> Option<Tenant> {
    let tenant_id = first_segment(&configuration.issuer)?;
    if first_segment(&configuration.token_endpoint)? != tenant_id {
        return None;
    }
    let cloud = runs_in(&configuration).unwrap_or(asked);
    let is_plain = |region: &String| {
        (1..=MAX_REGION).contains(&region.len()) && region.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    Some(Tenant {
        tenant_id,
        cloud,
        region: configuration.tenant_region_scope.filter(is_plain),
    })
}

/// The GUID that both addresses of a tenant begin with, in the one form that Entra writes.
fn first_segment(address: &str) -> Option<Uuid> {
    let url = Url::parse(address).ok()?;
    let segment = url.path_segments()?.next()?;
    let guid = Uuid::try_parse(segment).ok()?;
    (guid.to_string() == segment.to_ascii_lowercase() && !guid.is_nil()).then_some(guid)
}

/// GCC runs in the global cloud, GCC High (`DODCON`) and `DOD` in that of the US Government, whoever tells.
fn runs_in(configuration: &Configuration) -> Option<Cloud> {
    let sub_scope = configuration.tenant_region_sub_scope.as_deref().unwrap_or_default();
    let instance = configuration.cloud_instance_name.as_deref().unwrap_or_default();
    let scope = configuration.tenant_region_scope.as_deref().unwrap_or_default();
    match (sub_scope, instance, scope) {
        ("DODCON" | "DOD", _, _) => Some(Cloud::UsGovernment),
        ("GCC", _, _) => Some(Cloud::Global),
        (_, "microsoftonline.us", _) => Some(Cloud::UsGovernment),
        (_, "microsoftonline.com", _) => Some(Cloud::Global),
        (_, "partner.microsoftonline.cn", _) => Some(Cloud::China),
        (_, _, "USGov" | "USG") => Some(Cloud::UsGovernment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GUID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    fn document(changed: &Value) -> Value {
        let mut document = json!({
            "issuer": format!("https://login.microsoftonline.com/{GUID}/v2.0"),
            "token_endpoint": format!("https://login.microsoftonline.com/{GUID}/oauth2/v2.0/token"),
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "response_modes_supported": ["query"],
        });
        for (name, value) in changed.as_object().unwrap() {
            document[name] = value.clone();
        }
        document
    }

    fn ok(asked: Cloud, changed: &Value) -> Told {
        read(asked, StatusCode::OK, document(changed).to_string().as_bytes())
    }

    #[test]
    fn a_tenant_is_told_with_the_cloud_that_it_runs_in() {
        use Cloud::{China, Global, UsGovernment};
        for (asked, changed, cloud, region) in [
            (Global, json!({}), Global, Some("EU")),
            (
                Global,
                json!({"tenant_region_scope": "NA", "tenant_region_sub_scope": "GCC"}),
                Global,
                Some("NA"),
            ),
            (
                Global,
                json!({"tenant_region_scope": "USGov", "tenant_region_sub_scope": "DODCON", "cloud_instance_name": "microsoftonline.us"}),
                UsGovernment,
                Some("USGov"),
            ),
            (
                Global,
                json!({"tenant_region_sub_scope": "DOD"}),
                UsGovernment,
                Some("EU"),
            ),
            (
                Global,
                json!({"tenant_region_scope": "USG", "cloud_instance_name": null}),
                UsGovernment,
                Some("USG"),
            ),
            (
                China,
                json!({"tenant_region_scope": null, "cloud_instance_name": "partner.microsoftonline.cn"}),
                China,
                None,
            ),
            (
                UsGovernment,
                json!({"cloud_instance_name": "elsewhere.example"}),
                UsGovernment,
                Some("EU"),
            ),
            (Global, json!({"tenant_region_scope": "<b>\u{0}"}), Global, None),
        ] {
            let expected = Told::Known(Tenant {
                tenant_id: GUID.parse().unwrap(),
                cloud,
                region: region.map(ToOwned::to_owned),
            });
            assert_eq!(ok(asked, &changed), expected, "{changed}");
        }
    }

    #[test]
    fn a_guid_that_is_not_the_same_twice_tells_nothing() {
        let other = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";
        for changed in [
            json!({"issuer": other}),
            json!({"token_endpoint": other}),
            json!({"issuer": "https://login.microsoftonline.com/contoso.com/v2.0", "token_endpoint": "https://login.microsoftonline.com/contoso.com/"}),
            json!({"issuer": GUID, "token_endpoint": GUID}),
            json!({"issuer": format!("https://x.example/{}", GUID.replace('-', "")), "token_endpoint": format!("https://x.example/{}", GUID.replace('-', ""))}),
            json!({"issuer": "https://x.example/00000000-0000-0000-0000-000000000000", "token_endpoint": "https://x.example/00000000-0000-0000-0000-000000000000"}),
            json!({"issuer": null}),
            json!({"token_endpoint": 1}),
        ] {
            assert_eq!(ok(Cloud::Global, &changed), Told::Nothing, "{changed}");
        }
    }

    #[test]
    fn only_entras_own_word_means_that_a_domain_is_unknown() {
        let not_found = json!({
            "error": "invalid_tenant",
            "error_description": "AADSTS90002: Tenant 'contoso.example' not found. Check to make sure you have the correct tenant ID.",
            "error_codes": [90002],
        });
        let by_text = json!({"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant not found."});
        let no_domain = json!({"error": "invalid_request", "error_codes": [900_023]});
        let throttled = json!({"error_description": "AADSTS90055: The server has terminated an operation.", "error_codes": [90055]});
        for (status, body, expected) in [
            (400, not_found.to_string(), Told::Unknown),
            (400, by_text.to_string(), Told::Unknown),
            (400, no_domain.to_string(), Told::Unknown),
            (404, not_found.to_string(), Told::Unknown),
            (200, not_found.to_string(), Told::Nothing),
            (500, not_found.to_string(), Told::Nothing),
            (400, throttled.to_string(), Told::Nothing),
            (429, throttled.to_string(), Told::Nothing),
            (400, "AADSTS90002: Tenant not found".to_owned(), Told::Nothing),
            (400, String::new(), Told::Nothing),
            (200, "<html>".to_owned(), Told::Nothing),
            (302, String::new(), Told::Nothing),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                read(Cloud::Global, status, body.as_bytes()),
                expected,
                "{status} {body}"
            );
        }
    }
}
