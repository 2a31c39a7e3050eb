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
        fails("to-metadata", &[("http", "redirect_forbidden")]).saying(&["169.254.169.254"]),
        "location / { return 302 https://169.254.169.254/latest/meta-data/$is_args$args; }",
    ),
    (
        fails("to-hidden-metadata", &[("http", "redirect_forbidden")]).saying(&["169.254.169.254"]),
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
        fails("to-metadata-by-number", &[("http", "redirect_forbidden")]).saying(&["169.254.169.254"]),
        "location / { return 302 https://2852039166/$is_args$args; }",
    ),
    (
        fails("to-mapped-address", &[("http", "redirect_forbidden")]),
        "location / { return 302 https://[::ffff:10.0.0.1]/$is_args$args; }",
    ),
    (
        fails("to-user-info", &[("http", "redirect_forbidden")]).saying(&["10.0.0.1"]),
        "location / { return 302 https://good.test:{port}@10.0.0.1/$is_args$args; }",
    ),
];

#[test]
fn a_redirect_that_no_device_gets_past_is_named() {
    assert_sites(&[REDIRECTS, OTHERS].concat());
}

#[test]
fn an_unusual_redirect_is_followed_as_a_device_does_or_refused() {
    assert_sites(&[UNUSUAL_REDIRECTS, OTHERS].concat());
}
