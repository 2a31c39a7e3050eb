//! Whether a body is the discovery document, and what is wrong with it if not. Pure; whether the `BaseURL`'s host
//! exists is asked afterwards.
use super::{
    base_url::{self, Base},
    exchange::{Answer, End, MAX_BODY},
    json::Json,
    report::{Code, Fault},
    text::{quoted, quoted_bytes},
};
use crate::vendors::Enrollment;

const EXPECTED: &str =
    r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://…"}]}, with the Version mdm-byod or mdm-adde"#;
const COPY: &str = "Whoever maintains the document copies it again, exactly as the MDM's console shows it.";

/// The enrollment that the document describes, with what is remarkable about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    pub enrollment: Enrollment,
    pub base: Base,
    pub remark: Option<String>,
}

pub fn read(answer: &Answer) -> Result<Document, Fault> {
    let json = parse(answer)?;
    let server = server(&json)?;
    let enrollment = enrollment(server)?;
    let base_url = text_member(server, "BaseURL").map_err(|what| {
        Fault::new(
            Code::BaseUrlMissing,
            format!("The server has no BaseURL that is a string.{what}"),
        )
        .expected(EXPECTED)
        .remedy(COPY)
    })?;
    let base = base_url::read(enrollment, base_url)?;
    let doubled = json.doubled().or_else(|| server.doubled());
    Ok(Document {
        enrollment,
        base,
        remark: doubled.map(|key| {
            format!(
                "“{}” stands twice: which one counts differs between readers.",
                quoted(key)
            )
        }),
    })
}

fn parse(answer: &Answer) -> Result<Json, Fault> {
    let body = answer.body.as_slice();
    if answer.end == End::TooLong {
        return Err(Fault::new(
            Code::BodyTooLarge,
            format!("The body is larger than {} KiB.", MAX_BODY / 1024),
        )
        .expected(EXPECTED)
        .remedy("Whoever maintains the document leaves only the document in it: it has about 200 bytes."));
    }
    encoding(answer)?;
    if body.trim_ascii().is_empty() {
        return Err(empty("The body is empty."));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        wrong_encoding(&format!(
            "The body is not UTF-8: byte {} can't be read.",
            error.valid_up_to() + 1
        ))
    })?;
    serde_json::from_str(text).map_err(|error| {
        Fault::new(
            Code::InvalidJson,
            format!(
                "The body is not JSON: {}. It begins with: {}",
                quoted(&error.to_string()),
                quoted(text)
            ),
        )
        .expected(EXPECTED)
        .remedy(hint(text, &error))
    })
}

pub fn empty(what: &str) -> Fault {
    Fault::new(Code::BodyEmpty, what).expected(EXPECTED).remedy(
        "Whoever runs the web server puts the document there: the file is empty, or a script ends without output.",
    )
}

/// What stands before the first byte of JSON, or around it.
fn encoding(answer: &Answer) -> Result<(), Fault> {
    let encodings = answer.header("content-encoding").unwrap_or_default();
    let byte_order_mark = |what: &str| {
        Err(Fault::new(Code::ByteOrderMark, format!("The body begins with a byte order mark ({what})."))
            .expected("JSON in UTF-8, beginning with {.")
            .remedy("Whoever maintains the document saves it as UTF-8 without a byte order mark (“BOM”). Windows Notepad and PowerShell's Out-File add one.")
            .devices("All: JSON that is sent must not have one (RFC 8259 §8.1). Which versions overlook it is not known."))
    };
    match answer.body.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => byte_order_mark("UTF-8: EF BB BF"),
        [0xff, 0xfe, ..] => byte_order_mark("UTF-16, little end first: FF FE"),
        [0xfe, 0xff, ..] => byte_order_mark("UTF-16, big end first: FE FF"),
        _ if !encodings.is_empty() && !encodings.eq_ignore_ascii_case("identity") => Err(wrong_encoding(&format!(
            "The body is compressed (Content-Encoding: {encodings}), though the request did not ask for it."
        ))
        .devices("All that do not take it unasked. Which do is not known.")),
        [0x1f, 0x8b, ..] => Err(wrong_encoding("The body is compressed with gzip, and does not say so.")),
        [0, b'{', ..] | [b'{', 0, ..] => Err(wrong_encoding("The body is UTF-16.")),
        _ => Ok(()),
    }
}

fn wrong_encoding(what: &str) -> Fault {
    Fault::new(Code::WrongEncoding, what)
        .expected("JSON in UTF-8, not compressed.")
        .remedy("Whoever maintains the document saves it as plain UTF-8 text, and serves it without compression.")
}

/// What a person most likely did.
fn hint(text: &str, error: &serde_json::Error) -> &'static str {
    let start = text.trim_start();
    if start.starts_with('<') {
        "Whoever runs the web server finds out what answers instead of the document: this is a web page, or a message \
         of an application before it."
    } else if text.contains(['“', '”', '„']) {
        "Whoever maintains the document writes straight quotation marks: these are typographic ones, as word processors \
         and websites make them."
    } else if text.contains("&quot;") {
        "Whoever maintains the document writes quotation marks, and not &quot;: it was copied from the source of a web \
         page, or a website's editor made it."
    } else if start.starts_with("{'") || start.contains("'Servers'") {
        "Whoever maintains the document writes \" and not ' around names and values: JSON knows no other quotation mark."
    } else if start.starts_with(['/', '#']) {
        "Whoever maintains the document takes out the comments: JSON knows none."
    } else if error.is_eof() {
        "Whoever maintains the document puts all of it there: it ends too early. If the file is whole, whoever runs the \
         web server finds out what cuts the answer off: often a Content-Length that is too small."
    } else if error.to_string().starts_with("trailing comma") {
        "Whoever maintains the document takes out the comma before the closing bracket."
    } else if error.to_string().starts_with("trailing characters") {
        "Whoever maintains the document takes out what stands behind its last bracket; or whoever runs the web server \
         finds out what adds it."
    } else {
        COPY
    }
}

/// The one server of the document.
fn server(json: &Json) -> Result<&Json, Fault> {
    let fault = |code, what: String| Fault::new(code, what).expected(EXPECTED).remedy(COPY);
    let Json::Object(_) = json else {
        return Err(fault(
            Code::NotADocument,
            format!("The body is JSON, but {} and not an object.", json.kind()),
        ));
    };
    let Some(servers) = json.member("Servers") else {
        let near = json.nearly("Servers");
        let what = match (near, json.member("code")) {
            (Some(near), _) => format!(
                "The document has “{}”{}, but must have “Servers”: the spelling counts, capitals included.",
                quoted(near),
                white_space(near)
            ),
            (None, Some(Json::Text(code))) if code.starts_with("com.apple.") => format!(
                "The body is Apple's document of a failure, {}, with the status 200 instead of 403.",
                quoted(code)
            ),
            _ => "The document has no “Servers”.".to_owned(),
        };
        return Err(fault(Code::NoServers, what));
    };
    let Json::Array(servers) = servers else {
        return Err(fault(
            Code::NotADocument,
            format!("“Servers” is {}, but must be an array.", servers.kind()),
        ));
    };
    match servers.as_slice() {
        [] => Err(fault(Code::NoServers, "“Servers” is empty.".to_owned())),
        [server @ Json::Object(_)] => Ok(server),
        [other] => Err(fault(
            Code::NotADocument,
            format!("“Servers” holds {}, but must hold an object.", other.kind()),
        )),
        several => Err(Fault::new(
            Code::SeveralServers,
            format!("“Servers” holds {} servers.", several.len()),
        )
        .expected("Exactly one server. [Apple]")
        .remedy(
            "Whoever maintains the document leaves in the one that devices are to use. Different servers for different \
             devices need a service that looks at the query.",
        )
        .devices("All: Apple defines one server; a device that does not refuse the document takes the first.")),
    }
}

fn enrollment(server: &Json) -> Result<Enrollment, Fault> {
    let fault = |what: String| {
        Fault::new(Code::VersionUnknown, what)
            .expected("Version: exactly mdm-byod or mdm-adde.")
            .remedy(COPY)
    };
    let version = text_member(server, "Version")
        .map_err(|what| fault(format!("The server has no Version that is a string.{what}")))?;
    Enrollment::from_version(version).ok_or_else(|| {
        let near = Enrollment::from_version(&version.trim().to_ascii_lowercase());
        let hint = near
            .map(|near| format!(" It must be written {}.", near.version()))
            .unwrap_or_default();
        fault(format!(
            "The Version “{}”{} is unknown to devices.{hint}",
            quoted(version),
            white_space(version)
        ))
    })
}

/// What a quotation does not show.
fn white_space(text: &str) -> &'static str {
    match text.trim() == text {
        true => "",
        false => " (with white space around it)",
    }
}

/// The text of a member; else what stands there instead.
fn text_member<'a>(server: &'a Json, name: &str) -> Result<&'a str, String> {
    match (server.member(name), server.nearly(name)) {
        (Some(Json::Text(text)), _) => Ok(text),
        (Some(other), _) => Err(format!(" It is {}.", other.kind())),
        (None, Some(near)) => Err(format!(
            " It has “{}”{}: the spelling counts, capitals included.",
            quoted(near),
            white_space(near)
        )),
        (None, None) => Err(String::new()),
    }
}

/// Whether two answers hold the same document, whatever its layout.
pub fn is_same(one: &Answer, other: &Answer) -> bool {
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => quoted_bytes(&one.body) == quoted_bytes(&other.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn answer(encoding: Option<&'static str>, body: &[u8]) -> Answer {
        let encoding = encoding.map(|value| {
            (
                HeaderName::from_static("content-encoding"),
                HeaderValue::from_static(value),
            )
        });
        Answer {
            status: StatusCode::OK,
            headers: encoding.into_iter().collect::<HeaderMap>(),
            body: body.to_vec(),
            end: End::Whole,
        }
    }

    fn with(version: &str, base_url: &str) -> String {
        serde_json::json!({"Servers": [{"Version": version, "BaseURL": base_url}]}).to_string()
    }

    const INTUNE: &str = "https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn a_document_is_read_whatever_stands_beside_what_counts() {
        for body in [
            with("mdm-byod", INTUNE),
            format!("\r\n {} \n", with("mdm-byod", INTUNE)),
            format!(
                r#"{{"x":[1,-1,1.5,true,null],"Servers":[{{"BaseURL":"{INTUNE}","y":{{}},"Version":"mdm-byod"}}]}}"#
            ),
        ] {
            let document = read(&answer(None, body.as_bytes())).unwrap();
            assert_eq!(document.base.host, "manage.microsoft.com");
            assert_eq!(
                (document.base.vendor.key(), document.base.other_form, document.remark),
                ("intune", None, None)
            );
        }
        let doubled = format!(r#"{{"Servers":[{{"Version":"mdm-adde","Version":"mdm-byod","BaseURL":"{INTUNE}"}}]}}"#);
        let document = read(&answer(Some("identity"), doubled.as_bytes())).unwrap();
        assert!(document.remark.unwrap().contains("“Version” stands twice"));
    }

    #[test]
    fn what_is_no_json_has_the_remedy_that_fits() {
        let byod = with("mdm-byod", INTUNE);
        for (body, remedy) in [
            (byod.replace('"', "'"), "and not '"),
            (byod.replace('"', "“"), "straight"),
            (byod.replace('"', "&quot;"), "&quot;"),
            (format!("// Intune\n{byod}"), "comments"),
            (format!("# Intune\n{byod}"), "comments"),
            (byod.replace("}]", "},]"), "comma before"),
            (byod.replace("\"}", "\",}"), "comma before"),
            (byod.replace("}]}", "}]"), "ends too early"),
            (byod.chars().take(40).collect(), "ends too early"),
            (format!("{byod};"), "behind its last bracket"),
            (format!("<br />{byod}"), "web page"),
            (byod.replace(':', ""), "copies it again"),
        ] {
            let error = serde_json::from_str::<Json>(&body).unwrap_err();
            assert!(hint(&body, &error).contains(remedy), "{body}: {}", hint(&body, &error));
        }
    }

    #[test]
    fn white_space_that_a_quotation_hides_is_named() {
        for (body, code) in [
            (with("mdm-byod ", INTUNE), Code::VersionUnknown),
            (r#"{"Servers ":[]}"#.to_owned(), Code::NoServers),
            (
                r#"{"Servers":[{" Version":"mdm-byod"}]}"#.to_owned(),
                Code::VersionUnknown,
            ),
        ] {
            let fault = read(&answer(None, body.as_bytes())).unwrap_err();
            assert!(
                fault.code == code && fault.detail.contains("” (with white space around it)"),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn every_mistake_is_named_with_where_it_is() {
        let byod = with("mdm-byod", INTUNE);
        let one = r#"{"Version":"mdm-byod","BaseURL":"https://a.example/"}"#;
        let utf16: Vec<u8> = byod.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (body, code, said) in [
            (vec![], Code::BodyEmpty, "empty"),
            (b" \r\n".to_vec(), Code::BodyEmpty, "empty"),
            (
                [b"\xef\xbb\xbf", byod.as_bytes()].concat(),
                Code::ByteOrderMark,
                "EF BB BF",
            ),
            ([b"\xff\xfe", utf16.as_slice()].concat(), Code::ByteOrderMark, "UTF-16"),
            (utf16, Code::WrongEncoding, "UTF-16"),
            (vec![0x1f, 0x8b, 8, 0], Code::WrongEncoding, "gzip"),
            (b"{\"Servers\": \"\xfc\"}".to_vec(), Code::WrongEncoding, "byte 14"),
            (b"{\"Servers\":[\n}".to_vec(), Code::InvalidJson, "line 2 column 1"),
            (format!("{byod},").into(), Code::InvalidJson, "trailing"),
            (
                format!("<br />\x1b[2J{byod}").into(),
                Code::InvalidJson,
                "begins with: <br /> [2J",
            ),
            ("{“Servers”:[]}".into(), Code::InvalidJson, "line 1"),
            ("[".repeat(9000).into(), Code::InvalidJson, "recursion"),
            (b"[]".to_vec(), Code::NotADocument, "an array"),
            (b"\"x\"".to_vec(), Code::NotADocument, "a string"),
            (b"{}".to_vec(), Code::NoServers, "no “Servers”"),
            (format!(r#"{{"servers":[{one}]}}"#).into(), Code::NoServers, "“servers”"),
            (
                br#"{"code":"com.apple.well-known.failed"}"#.to_vec(),
                Code::NoServers,
                "instead of 403",
            ),
            (br#"{"Servers":[]}"#.to_vec(), Code::NoServers, "is empty"),
            (
                format!(r#"{{"Servers":{one}}}"#).into(),
                Code::NotADocument,
                "must be an array",
            ),
            (br#"{"Servers":["x"]}"#.to_vec(), Code::NotADocument, "holds a string"),
            (
                format!(r#"{{"Servers":[{one},{one}]}}"#).into(),
                Code::SeveralServers,
                "2 servers",
            ),
            (br#"{"Servers":[{}]}"#.to_vec(), Code::VersionUnknown, "no Version"),
            (
                br#"{"Servers":[{"version":"mdm-byod"}]}"#.to_vec(),
                Code::VersionUnknown,
                "“version”",
            ),
            (
                br#"{"Servers":[{"Version":2}]}"#.to_vec(),
                Code::VersionUnknown,
                "It is a number",
            ),
            (
                with("MDM-BYOD ", INTUNE).into(),
                Code::VersionUnknown,
                "must be written mdm-byod",
            ),
            (
                with("mdm-apple", INTUNE).into(),
                Code::VersionUnknown,
                "“mdm-apple” is unknown",
            ),
            (
                br#"{"Servers":[{"Version":"mdm-byod"}]}"#.to_vec(),
                Code::BaseUrlMissing,
                "no BaseURL",
            ),
            (
                br#"{"Servers":[{"Version":"mdm-byod","BaseUrl":"x"}]}"#.to_vec(),
                Code::BaseUrlMissing,
                "“BaseUrl”",
            ),
            (
                br#"{"Servers":[{"Version":"mdm-byod","BaseURL":null}]}"#.to_vec(),
                Code::BaseUrlMissing,
                "It is null",
            ),
        ] {
            let fault = read(&answer(None, &body)).unwrap_err();
            assert!(
                fault.code == code && fault.detail.contains(said),
                "{}: {fault:?}",
                String::from_utf8_lossy(&body[..body.len().min(80)])
            );
        }
        let compressed = read(&answer(Some("gzip"), b"\x1f\x8b")).unwrap_err();
        assert!(compressed.code == Code::WrongEncoding && compressed.detail.contains("Content-Encoding: gzip"));
        let long = Answer {
            end: End::TooLong,
            ..answer(None, b"{")
        };
        assert_eq!(read(&long).unwrap_err().code, Code::BodyTooLarge);
    }
}
