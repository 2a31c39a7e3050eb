//! What can be wrong on the way from one address to the next.
use super::{
    bench::{OTHERS, Site, assert_sites},
    table::{fails, well},
};

const REDIRECTS: &[Site] = &[
    (
        fails("loop", &[("http", "redirect_loop")])
            .saying(&["loop.test"])
            .curing(&["rules"]),
        "location = {path} { return 302 https://loop.test:{port}{path}$is_args$args; }",
    ),
    (
        fails("loop-of-two", &[("http", "redirect_loop")]),
        "location = {path} { return 302 /a$is_args$args; } location = /a { return 302 {path}$is_args$args; }",
    ),
    (
        fails("many", &[("http", "too_many_redirects")]),
        "location / { return 302 https://many.test:{port}$uri/more$is_args$args; }",
    ),
    (
        fails("to-http", &[("http", "redirect_to_http")])
            .saying(&["http://to-http.test/"])
            .curing(&["https"]),
        "location / { return 301 http://to-http.test/elsewhere$is_args$args; }",
    ),
    (
        fails("to-metadata", &[("http", "redirect_forbidden")]).saying(&["not a public address"]),
        "location / { return 302 https://169.254.169.254/latest/meta-data/$is_args$args; }",
    ),
    (
        fails("to-hidden-metadata", &[("http", "redirect_forbidden")]).saying(&["not a public address"]),
        "location / { return 302 https://metadata.test/latest/meta-data/$is_args$args; }",
    ),
    (
        fails("to-nowhere", &[("http", "no_such_name")]).saying(&["nowhere.test"]),
        "location / { return 302 https://nowhere.test:{port}/$is_args$args; }",
    ),
    (
        fails("to-closed-port", &[("http", "connection_refused")]).saying(&["good.test:1"]),
        "location / { return 302 https://good.test:1/$is_args$args; }",
    ),
    (
        fails("to-other-name", &[("http", "certificate_other_name")]).saying(&["unnamed.test"]),
        "location / { return 302 https://unnamed.test:{port}/$is_args$args; }",
    ),
    (
        fails("to-not-found", &[("http", "not_found")]).saying(&["not-found.test"]),
        "location / { return 302 https://not-found.test:{port}/x$is_args$args; }",
    ),
];

/// A redirect without the query, to what answers well only with it. The words of the target alone would mislead.
const LOST_QUERIES: &[Site] = &[
    (
        fails(
            "lost-not-found",
            &[("http", "not_found"), ("query", "redirect_loses_query")],
        )
        .saying(&[
            "loses the query",
            "lost-not-found.test",
            "www-with-query.test",
            "well only with it",
            "404",
        ])
        .curing(&["keeps the query", "$is_args$args"]),
        "location / { return 301 https://www-with-query.test:{port}{path}; }",
    ),
    (
        fails(
            "lost-page",
            &[("content_type", "html_page"), ("query", "redirect_loses_query")],
        )
        .saying(&["loses the query", "well only with it", "web page"])
        .curing(&["keeps the query"]),
        "location / { return 301 https://page-without-query.test:{port}{path}; }",
    ),
    (
        fails(
            "lost-document",
            &[("document", "no_servers"), ("query", "redirect_loses_query")],
        )
        .saying(&["loses the query", "well only with it"])
        .curing(&["keeps the query"]),
        "location / { return 301 https://empty-without-query.test:{port}{path}?from=apex; }",
    ),
    (
        fails(
            "lost-twice",
            &[("http", "not_found"), ("query", "redirect_loses_query")],
        )
        .saying(&["loses the query", "well only with it"])
        .curing(&["keeps the query"]),
        "location / { return 301 https://lost-not-found.test:{port}{path}; }",
    ),
    (
        fails(
            "lost-to-not-found",
            &[("http", "not_found"), ("query", "redirect_loses_query")],
        )
        .saying(&["404"])
        .curing(&["adds the document"]),
        "location / { return 301 https://not-found.test:{port}{path}; }",
    ),
    (
        well("www-with-query"),
        "location = {path} { if ($args !~ user-identifier) { return 404; } return 200 {document}; }",
    ),
    (
        well("page-without-query"),
        "location = {path} { if ($args = '') { rewrite ^ /page last; } return 200 {document}; }\n\
         location = /page { default_type text/html; return 200 '<title>Welcome</title>'; }",
    ),
    (
        well("empty-without-query"),
        "location = {path} { if ($args = 'from=apex') { return 200 '{}'; } return 200 {document}; }",
    ),
];

/// Where a device goes is not always written out.
const UNUSUAL_REDIRECTS: &[Site] = &[
    (
        well("to-upper-case"),
        "location / { return 302 HTTPS://GOOD.test:{port}{path}$is_args$args; }",
    ),
    (
        well("to-fragment"),
        "location / { return 302 https://good.test:{port}{path}$is_args$args#top; }",
    ),
    (
        fails("to-ftp", &[("http", "redirect_forbidden")]).saying(&["ftp:"]),
        "location / { return 302 ftp://good.test/$is_args$args; }",
    ),
    (
        fails("to-http-and-back", &[("http", "redirect_to_http")]).saying(&["http://good.test"]),
        "location / { return 302 http://good.test:{port}{path}$is_args$args; }",
    ),
    (
        fails("to-metadata-by-number", &[("http", "redirect_forbidden")]).saying(&["not a public address"]),
        "location / { return 302 https://2852039166/$is_args$args; }",
    ),
    (
        fails("to-mapped-address", &[("http", "redirect_forbidden")]),
        "location / { return 302 https://[::ffff:10.0.0.1]/$is_args$args; }",
    ),
    (
        fails("to-user-info", &[("http", "redirect_forbidden")]).saying(&["not a public address"]),
        "location / { return 302 https://good.test:{port}@10.0.0.1/$is_args$args; }",
    ),
];

#[test]
fn a_redirect_that_no_device_gets_past_is_named() {
    assert_sites(&[REDIRECTS, OTHERS].concat());
}

#[test]
fn a_lost_query_is_named_where_it_is_why_the_target_fails() {
    assert_sites(&[LOST_QUERIES, OTHERS].concat());
}

#[test]
fn an_unusual_redirect_is_followed_as_a_device_does_or_refused() {
    assert_sites(&[UNUSUAL_REDIRECTS, OTHERS].concat());
}
