//! The two JSON documents that a device understands, as bytes made once.
use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct WellKnown<'a> {
    #[serde(rename = "Servers")]
    servers: [Server<'a>; 1],
}

#[derive(Serialize)]
struct Server<'a> {
    #[serde(rename = "Version")]
    version: &'a str,
    #[serde(rename = "BaseURL")]
    base_url: &'a str,
}

/// `{"Servers":[{"Version":…,"BaseURL":…}]}`: exactly one server, the device takes the first.
/// [Apple, "Discover authentication servers"]
#[must_use]
pub fn serve(version: &str, base_url: &str) -> Bytes {
    json(&WellKnown {
        servers: [Server { version, base_url }],
    })
}

#[derive(Serialize)]
struct Failed<'a> {
    code: &'a str,
    description: &'a str,
    message: &'a str,
}

/// The body of a 403. `message` is shown to the person as far as the system does so.
/// [Apple, device-management, mdm/errors/well-known.failed.yaml]
#[must_use]
pub fn reject(message: &str) -> Bytes {
    json(&Failed {
        code: "com.apple.well-known.failed",
        description: "Enrollment is not allowed by the policy of this domain.",
        message,
    })
}

fn json(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document).expect("texts become JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_are_exactly_what_apple_defines() {
        assert_eq!(
            serve("mdm-byod", "https://mdm.example.com/enroll?a=b"),
            r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.example.com/enroll?a=b"}]}"#
        );
        assert_eq!(
            reject("Ask \"IT\" first."),
            r#"{"code":"com.apple.well-known.failed","description":"Enrollment is not allowed by the policy of this domain.","message":"Ask \"IT\" first."}"#
        );
    }
}
