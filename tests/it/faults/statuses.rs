//! What can be wrong with the status of an answer, or differ between methods and queries.
use super::{
    bench::{OTHERS, Site, assert_sites},
    table::{fails, passes, well},
};

/// Nothing is wrong, however unusual it looks.
const GOOD: &[Site] = &[
    (
        well("charset"),
        "location = {path} { default_type 'Application/JSON; charset=utf-8'; return 200 {document}; }",
    ),
    (
        well("redirecting"),
        "location = {path} { return 307 https://good.test:{port}{path}$is_args$args; }",
    ),
    (
        well("by-two-steps"),
        "location = {path} { return 308 {path}/$is_args$args; } location / { return 301 https://good.test:{port}{path}?$args; }",
    ),
    (
        well("device-enrollment"),
        r#"location = {path} { return 200 '{ "Servers": [ { "Version": "mdm-adde", "BaseURL": "https://mdm.good.test/enroll?a=b", "More": 1 } ] }'; }"#,
    ),
];

const STATUSES: &[Site] = &[
    (
        fails("challenging", &[("http", "bot_challenge")])
            .saying(&["Cloudflare", "403"])
            .curing(&["Skip"]),
        "default_type text/html; add_header cf-mitigated challenge always; location / { return 403 '<title>Just a moment...</title>'; }",
    ),
    (
        fails("challenging-by-page", &[("http", "bot_challenge")]).saying(&["Cloudflare"]),
        "default_type text/html; location / { return 403 '<html><title>Just a moment...</title><script src=\"/cdn-cgi/challenge-platform/x\"></script>'; }",
    ),
    (
        fails("forbidden", &[("http", "forbidden")])
            .saying(&["403"])
            .curing(&["/.well-known/com.apple.remotemanagement"]),
        "location / { deny all; }",
    ),
    (
        fails("blocked-by-number", &[("http", "bot_challenge")])
            .saying(&["Cloudflare", "1020"])
            .curing(&["Skip"]),
        "default_type text/plain; add_header CF-RAY 8f0a-FRA always; location / { return 403 'error code: 1020'; }",
    ),
    (
        fails("document-not-found", &[("http", "not_found")])
            .saying(&["404", "the body is the discovery document"])
            .curing(&["status 200"]),
        "location / { return 404 {document}; }",
    ),
    (
        fails("unauthorised", &[("http", "authentication_required")])
            .saying(&["401", "Staff only"])
            .curing(&["password"]),
        "add_header WWW-Authenticate 'Basic realm=\"Staff only\"' always; location / { return 401; }",
    ),
    (
        fails("failing", &[("http", "server_error")])
            .saying(&["500"])
            .curing(&["log"]),
        "location / { return 500; }",
    ),
    (
        fails("bad-gateway", &[("http", "server_error")])
            .saying(&["502"])
            .curing(&["behind"]),
        "location / { proxy_pass http://127.0.0.1:1; }",
    ),
    (
        fails("no-get", &[("http", "method_refused")]).saying(&["405", "POST"]),
        "add_header Allow POST always; location / { return 405; }",
    ),
    (
        fails("misdirected", &[("http", "misdirected")]).saying(&["421"]),
        "location / { return 421; }",
    ),
    (
        fails("no-content", &[("http", "unexpected_status")]).saying(&["204"]),
        "location / { return 204; }",
    ),
    (
        fails("throttled", &[("http", "unexpected_status")]).saying(&["429"]),
        "location / { return 429; }",
    ),
    (
        fails("rejecting", &[("http", "rejected")]).saying(&["Ask IT first."]),
        r#"location / { return 403 '{"code":"com.apple.well-known.failed","description":"x","message":"Ask IT first."}'; }"#,
    ),
    (
        fails("closing", &[("http", "connection_closed")]),
        "location / { return 444; }",
    ),
];

const HEADS_AND_QUERIES: &[Site] = &[
    (
        passes("no-head", &[("head", "head_refused")])
            .saying(&["405"])
            .curing(&["HEAD"]),
        "location = {path} { if ($request_method = HEAD) { return 405; } return 200 {document}; }",
    ),
    (
        passes("other-head", &[("head", "head_differs")]).saying(&["text/html"]),
        "location = {path} { if ($request_method = HEAD) { rewrite ^ /head last; } return 200 {document}; }\n\
         location = /head { default_type text/html; return 200 x; }",
    ),
    (
        passes("www-without-query", &[("query", "redirect_loses_query")])
            .saying(&["good.test"])
            .curing(&["query"]),
        "location / { return 301 https://good.test:{port}{path}; }",
    ),
    (
        fails(
            "query-not-found",
            &[("http", "not_found"), ("query", "query_breaks_answer")],
        )
        .saying(&["404"]),
        "location = {path} { if ($args) { return 404; } return 200 {document}; }",
    ),
];

#[test]
fn a_domain_that_is_well_is_said_to_be_well() {
    assert_sites(&[GOOD, OTHERS].concat());
}

#[test]
fn a_status_is_told_with_its_meaning() {
    assert_sites(&[STATUSES, OTHERS].concat());
}

#[test]
fn an_answer_that_depends_on_the_method_or_the_query_is_named() {
    assert_sites(&[HEADS_AND_QUERIES, OTHERS].concat());
}
