//! The JSON of a pasted discovery document: one server, its `Version` and its `BaseURL`.

use super::Enrollment;
use super::base_urls::UrlError;
use super::parameters::ParameterError;
use serde_json::Value;

const MAX_BYTES: usize = 64 * 1024;

/// A byte order mark and surrounding white space are ignored here, because they may come from the clipboard; in a
/// published file they are a fault.
pub fn read(document: &str) -> Result<(Enrollment, String), DocumentError> {
    if document.len() > MAX_BYTES {
        return Err(DocumentError::TooLarge);
    }
    // JSON allows ASCII white space itself, so the line numbers of an error stay right.
    let text = document
        .trim_end()
        .trim_start_matches(|c: char| !c.is_ascii() && (c.is_whitespace() || c == '\u{feff}'));
    if text.trim().is_empty() {
        return Err(DocumentError::Empty);
    }
    let document: Value = serde_json::from_str(text).map_err(DocumentError::NotJson)?;
    let document = document.as_object().ok_or(DocumentError::NotAnObject)?;
    let servers = document.get("Servers").ok_or(DocumentError::NoServers)?;
    let server = match servers.as_array().ok_or(DocumentError::ServersNotAnArray)?.as_slice() {
        [] => return Err(DocumentError::ServersEmpty),
        [server] => server.as_object().ok_or(DocumentError::ServerNotAnObject)?,
        several => return Err(DocumentError::SeveralServers(several.len())),
    };
    let version = server
        .get("Version")
        .and_then(Value::as_str)
        .ok_or(DocumentError::NoVersion)?;
    let enrollment = Enrollment::from_version(version).ok_or(DocumentError::UnknownVersion)?;
    let base_url = server
        .get("BaseURL")
        .and_then(Value::as_str)
        .ok_or(DocumentError::NoBaseUrl)?;
    Ok((enrollment, base_url.to_owned()))
}

/// Why a pasted document was not understood, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("The document is larger than {} KiB. Paste the discovery document alone.", MAX_BYTES / 1024)]
    TooLarge,
    #[error("There is nothing here. Paste the discovery document that the MDM's console shows.")]
    Empty,
    #[error(
        "This is not JSON: {0}. Paste the document exactly as the MDM's console shows it, with straight quotation marks."
    )]
    NotJson(serde_json::Error),
    #[error("This is JSON, but not an object. Paste all of the document, from the first {{ to the last }}.")]
    NotAnObject,
    #[error("\"Servers\" is missing. Paste all of the document; the names must be spelled exactly, capitals included.")]
    NoServers,
    #[error("\"Servers\" is not an array. Put the server into brackets: {{\"Servers\":[{{…}}]}}.")]
    ServersNotAnArray,
    #[error("\"Servers\" is empty. It must hold one server with a \"Version\" and a \"BaseURL\".")]
    ServersEmpty,
    #[error("\"Servers\" holds {0} servers, but Apple takes exactly one. Leave in the one that devices are to use.")]
    SeveralServers(usize),
    #[error("The entry in \"Servers\" is not an object. It must hold a \"Version\" and a \"BaseURL\".")]
    ServerNotAnObject,
    #[error("The server has no \"Version\" that is a string. Set it to \"mdm-byod\" or \"mdm-adde\".")]
    NoVersion,
    #[error("The \"Version\" is unknown to Apple. Set it to exactly \"mdm-byod\" or \"mdm-adde\".")]
    UnknownVersion,
    #[error("The server has no \"BaseURL\" that is a string. Set it to the enrollment URL; the spelling counts.")]
    NoBaseUrl,
    #[error("The \"BaseURL\" cannot be served. {0}")]
    BaseUrl(#[from] UrlError),
    #[error(
        "The \"BaseURL\" is that of {vendor}, but its values are not right. {}",
        listed(errors)
    )]
    Parameters {
        vendor: &'static str,
        errors: Vec<ParameterError>,
    },
}

fn listed(errors: &[ParameterError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::recognise;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_with_a_document_is_said_with_what_to_do() {
        let server = r#"{"Version":"mdm-byod","BaseURL":"https://mdm.contoso.com/"}"#;
        let cases = [
            (String::new(), "nothing here"),
            ("\u{feff} \n".to_owned(), "nothing here"),
            (" ".repeat(MAX_BYTES + 1), "larger than 64 KiB"),
            ("{\n \"Servers\": [\n }".to_owned(), "line 3 column 2"),
            ("{“Servers”:[]}".to_owned(), "straight quotation marks"),
            ("{}x".to_owned(), "trailing characters"),
            ("[".repeat(1000), "recursion limit"),
            ("[]".to_owned(), "not an object"),
            ("{}".to_owned(), "\"Servers\" is missing"),
            (format!(r#"{{"servers":[{server}]}}"#), "capitals included"),
            (
                format!(r#"{{"Servers":{server}}}"#),
                "into brackets: {\"Servers\":[{…}]}",
            ),
            (r#"{"Servers":[]}"#.to_owned(), "is empty"),
            (r#"{"Servers":["mdm-byod"]}"#.to_owned(), "is not an object"),
            (format!(r#"{{"Servers":[{server},{server}]}}"#), "holds 2 servers"),
            (
                r#"{"Servers":[{"BaseURL":"https://mdm.contoso.com/"}]}"#.to_owned(),
                "no \"Version\"",
            ),
            (
                r#"{"Servers":[{"Version":1,"BaseURL":"https://mdm.contoso.com/"}]}"#.to_owned(),
                "no \"Version\"",
            ),
            (document("MDM-BYOD", "https://mdm.contoso.com/"), "unknown to Apple"),
            (
                r#"{"Servers":[{"Version":"mdm-byod","BaseUrl":"https://mdm.contoso.com/"}]}"#.to_owned(),
                "no \"BaseURL\"",
            ),
            (
                r#"{"Servers":[{"Version":"mdm-byod","BaseURL":null}]}"#.to_owned(),
                "no \"BaseURL\"",
            ),
            (document("mdm-byod", "http://mdm.contoso.com/"), "Give its https form"),
            (
                document(
                    "mdm-byod",
                    "https://x.jamfcloud.com.com/servicediscoveryenrollment/v1/userenroll",
                ),
                "looks like jamfcloud.com",
            ),
            (
                document(
                    "mdm-byod",
                    "https://<fleet_server_url>/api/mdm/apple/account_driven_enroll",
                ),
                "holds '<'",
            ),
            (
                document("mdm-byod", "https://mdm.contoso.com/{token}"),
                "part of a placeholder",
            ),
            (
                document(
                    "mdm-byod",
                    "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=YourAADTenantID",
                ),
                "that of Microsoft Intune, but its values are not right. tenant_id: This is not a GUID",
            ),
            (
                document(
                    "mdm-byod",
                    "https://mdm.manageengine.com/mdm/client/v1/enroll?templateToken=&encapiKey=k",
                ),
                "template_token: This is empty",
            ),
        ];
        for (text, reason) in cases {
            let error = recognise(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    fn document(version: &str, base_url: &str) -> String {
        json!({"Servers": [{"Version": version, "BaseURL": base_url}]}).to_string()
    }
}
