//! What can be wrong with the content of an answer: its type, its document, the address in it.
use super::{
    bench::{Site, assert_sites},
    table::fails,
};

const TYPES: &[Site] = &[
    (
        fails("octet-stream", &[("content_type", "octet_stream")])
            .saying(&["application/octet-stream"])
            .curing(&["application/json"]),
        "root {files}/plain; default_type application/octet-stream;",
    ),
    (
        fails("html", &[("content_type", "html_page")])
            .saying(&["web page", "Contoso"])
            .curing(&["/.well-known/com.apple.remotemanagement"]),
        "default_type text/html; location / { return 200 '<html><title>Contoso</title><p>Welcome'; }",
    ),
    (
        fails("html-of-nothing", &[("content_type", "body_empty")])
            .saying(&["no page", "body is empty"])
            .curing(&["script"]),
        "default_type text/html; location / { return 200 ''; }",
    ),
    (
        fails("html-to-www", &[("content_type", "html_redirect")])
            .saying(&["www.contoso.test"])
            .curing(&["on the server", "$is_args$args"]),
        "default_type text/html; location / { return 200 '<meta http-equiv=refresh content=\"0; url=https://www.contoso.test/\">'; }",
    ),
    (
        fails("script-to-www", &[("content_type", "html_redirect")]).saying(&["www.contoso.test"]),
        "default_type text/html; location / { return 200 '<script>window.location.href = \"https://www.contoso.test/\"</script>'; }",
    ),
    (
        fails("text", &[("content_type", "wrong_content_type")])
            .saying(&["text/plain"])
            .curing(&["application/json"]),
        "default_type text/plain; location = {path} { return 200 {document}; }",
    ),
    (
        fails("typeless", &[("content_type", "content_type_missing")]).curing(&["application/json"]),
        "default_type ''; location = {path} { return 200 {document}; }",
    ),
];

const DOCUMENTS: &[Site] = &[
    (
        fails("no-json", &[("document", "invalid_json")]).saying(&["{\"Servers\":["]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"{base_url}"}'; }"#,
    ),
    (
        fails("trailing-comma", &[("document", "invalid_json")]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"{base_url}",}]}'; }"#,
    ),
    (
        fails("page-as-json", &[("document", "invalid_json")]).saying(&["<html>"]),
        "location / { return 200 '<html>'; }",
    ),
    (
        fails("byte-order-mark", &[("document", "byte_order_mark")]).curing(&["without"]),
        "location / { return 200 '\u{feff}{\"Servers\":[{\"Version\":\"mdm-byod\",\"BaseURL\":\"{base_url}\"}]}'; }",
    ),
    (
        fails("empty", &[("document", "body_empty")]),
        "location / { return 200 ''; }",
    ),
    (
        fails("no-servers", &[("document", "no_servers")]).saying(&["Servers"]),
        r#"location / { return 200 '{"Servers":[]}'; }"#,
    ),
    (
        fails("two-servers", &[("document", "several_servers")])
            .saying(&["2"])
            .curing(&["one"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"{base_url}"},{"Version":"mdm-adde","BaseURL":"{base_url}"}]}'; }"#,
    ),
    (
        fails("lower-case", &[("document", "no_servers")])
            .saying(&["“servers”", "“Servers”"])
            .curing(&["exactly"]),
        r#"location / { return 200 '{"servers":[{"version":"mdm-byod","baseURL":"{base_url}"}]}'; }"#,
    ),
    (
        fails("array", &[("document", "not_a_document")]),
        "location / { return 200 '[]'; }",
    ),
    (
        fails("unknown-version", &[("document", "version_unknown")])
            .saying(&["mdm-user"])
            .curing(&["exactly"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-user","BaseURL":"{base_url}"}]}'; }"#,
    ),
    (
        fails("no-base-url", &[("document", "base_url_missing")]).saying(&["BaseURL"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod"}]}'; }"#,
    ),
    (
        fails("http-base-url", &[("document", "base_url_not_https")])
            .saying(&["http://manage.microsoft.com"])
            .curing(&["https"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"http://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId=11111111-2222-3333-4444-555555555555"}]}'; }"#,
    ),
    (
        fails("look-alike", &[("document", "base_url_lookalike")]).saying(&["acme.jamfcloud.com.com", "jamfcloud.com"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"https://acme.jamfcloud.com.com/servicediscoveryenrollment/v1/userenroll"}]}'; }"#,
    ),
    (
        fails("relative", &[("document", "base_url_unreadable")]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"/enroll"}]}'; }"#,
    ),
    (
        fails("base-url-nowhere", &[("document", "base_url_unresolvable")]).saying(&["mdm.nowhere.test"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.nowhere.test/enroll"}]}'; }"#,
    ),
    (
        fails("zipped", &[("document", "wrong_encoding")]).saying(&["gzip"]),
        "root {files}/packed; gzip_static always;",
    ),
];

/// Documents that look right to whoever wrote them.
const NEARLY: &[Site] = &[
    (
        fails("object", &[("document", "not_a_document")]).saying(&["Servers", "array"]),
        r#"location / { return 200 '{"Servers":{"Version":"mdm-byod","BaseURL":"{base_url}"}}'; }"#,
    ),
    (
        fails("nothing-in-it", &[("document", "no_servers")]),
        "location / { return 200 '{}'; }",
    ),
    (
        fails("in-a-string", &[("document", "not_a_document")]),
        r#"location / { return 200 '"{\\"Servers\\":[]}"'; }"#,
    ),
    (
        fails("typographic", &[("document", "invalid_json")]).saying(&["“"]),
        "location / { return 200 '{“Servers”:[]}'; }",
    ),
    (
        fails("upper-version", &[("document", "version_unknown")]).saying(&["MDM-BYOD"]),
        r#"location / { return 200 '{"Servers":[{"Version":"MDM-BYOD","BaseURL":"{base_url}"}]}'; }"#,
    ),
    (
        fails("no-version", &[("document", "version_unknown")]).saying(&["Version"]),
        r#"location / { return 200 '{"Servers":[{"BaseURL":"{base_url}"}]}'; }"#,
    ),
    (
        fails("base-uri", &[("document", "base_url_missing")]).saying(&["BaseUrl"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseUrl":"{base_url}"}]}'; }"#,
    ),
    (
        fails("spaced-base-url", &[("document", "base_url_unreadable")]).saying(&["white space"]),
        r#"location / { return 200 '{"Servers":[{"Version":"mdm-byod","BaseURL":"{base_url} "}]}'; }"#,
    ),
    (
        fails("utf-16", &[("document", "byte_order_mark")]).saying(&["UTF-16"]),
        "location = {path} { alias {files}/utf-16; }",
    ),
    (
        fails("latin-1", &[("document", "wrong_encoding")]).saying(&["UTF-8"]),
        "location = {path} { alias {files}/latin-1; }",
    ),
];

#[test]
fn a_wrong_content_type_is_named() {
    assert_sites(TYPES);
}

#[test]
fn what_is_wrong_with_a_document_is_named() {
    assert_sites(DOCUMENTS);
}

#[test]
fn what_is_nearly_a_document_is_named() {
    assert_sites(NEARLY);
}
