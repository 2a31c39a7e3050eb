//! Which domain a request is for, said in every way that bytes on a connection can say it. Two
//! domains are served, so that an answer for the wrong one shows.
use sqlx::PgPool;

use crate::{
    app::{Msp, TestApp, WELL_KNOWN, intune_document, intune_document_of},
    wire::{Reply, Wire, ask, ask_target, exchange},
};

const OTHER_TENANT: &str = "99999999-8888-7777-6666-555555555555";
const NO_DOCUMENT: &str = "";

/// `contoso.com` and `xn--bcher-kva.example`, of two tenants.
async fn two_domains(pool: PgPool) -> (TestApp, Msp) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    msp.register_intune("Bücher.example", OTHER_TENANT, "global").await;
    app.verify("contoso.com").await;
    app.verify("xn--bcher-kva.example").await;
    (app, msp)
}

fn contoso() -> String {
    intune_document()
}

fn buecher() -> String {
    intune_document_of(OTHER_TENANT, "com")
}

/// The server lives and has lost nothing of its wits.
async fn stop_after_a_last_answer(app: TestApp) {
    assert_eq!(app.ask("contoso.com", "").await.text, contoso());
    assert_eq!(app.ask("xn--bcher-kva.example", "").await.text, buecher());
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_is_found_whatever_the_case_port_trailing_dot_or_script_of_its_host(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    for (host, expected) in [
        ("contoso.com", contoso()),
        ("CONTOSO.com", contoso()),
        ("cOnToSo.CoM", contoso()),
        ("contoso.com.", contoso()),
        ("contoso.com:8080", contoso()),
        ("Contoso.Com.:443", contoso()),
        ("contoso.com:", contoso()),
        ("  contoso.com \t", contoso()),
        ("xn--bcher-kva.example", buecher()),
        ("XN--BCHER-KVA.Example:8443", buecher()),
        ("bücher.example", buecher()),
        ("BÜCHER.example.", buecher()),
        ("bu\u{308}cher.example", buecher()),
    ] {
        let reply = ask(app.http, host.as_bytes(), "").await;
        assert_eq!((reply.status, reply.body), (200, expected), "{host}");
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn a_host_that_is_nobodys_is_answered_like_any_unknown_domain(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    let unknown = ask(app.http, b"unknown.example", "").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (404, NO_DOCUMENT));
    let longest = format!("{}.com", ["a"; 125].join("."));
    assert_eq!(longest.len(), 253);
    for host in [
        "www.contoso.com",
        "contoso.com.evil.example",
        "evilcontoso.com",
        "contoso.com..",
        "con_toso.com",
        "_signpost.contoso.com",
        "contoso",
        "com",
        "203.0.113.7",
        "203.0.113.7:8080",
        "[2001:db8::7]",
        "[2001:db8::7]:443",
        "2130706433",
        "-",
        &longest,
    ] {
        let reply = ask(app.http, host.as_bytes(), "").await;
        assert_eq!(reply.status, 404, "{host}");
        assert_eq!(
            (reply.stable_headers(), reply.body.as_str()),
            (unknown.stable_headers(), NO_DOCUMENT),
            "{host}"
        );
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn what_is_no_host_is_a_bad_request(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    let long = [b"a.".repeat(125).as_slice(), b"com.x"].concat();
    assert!(long.len() > 253);
    let very_long = b"a".repeat(60_000);
    for host in [
        &b""[..],
        b".",
        b":443",
        b"ada@contoso.com",
        b"contoso.com@evil.example",
        b"contoso%2ecom",
        b"contoso.com%00",
        b"contoso.com evil.example",
        b"contoso.com,evil.example",
        b"contoso.com\tx",
        b"contoso.com/",
        b"contoso.com/x",
        b"contoso.com?x",
        b"contoso.com#x",
        b"contoso.com\\x",
        b"https://contoso.com",
        b"contoso.com:http",
        b"contoso.com:80:80",
        b"contoso.com:-1",
        b"contoso.com:123456",
        b"*.contoso.com",
        b"contoso.com\0",
        b"contoso.com\x01",
        b"contoso.com\x7f",
        b"contoso.com\xff",
        b"\xc3\x28.example",
        b"b\xc3\xbc_cher.example",
        b"\xe2\x80\xae.example",
        b"[::1",
        b"[contoso.com]",
        b"[::1]x",
        &long,
        &very_long,
    ] {
        let reply = ask(app.http, host, "").await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (400, NO_DOCUMENT),
            "{}",
            host.escape_ascii()
        );
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn of_two_hosts_or_none_no_one_is_chosen(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    for head in [
        "HTTP/1.1\r\nHost: contoso.com\r\nHost: contoso.com\r\n\r\n",
        "HTTP/1.1\r\nHost: contoso.com\r\nHost: xn--bcher-kva.example\r\n\r\n",
        "HTTP/1.1\r\nHost: contoso.com\r\nX: y\r\nhost: evil.example\r\n\r\n",
        "HTTP/1.1\r\nHost: contoso.com\r\nHost:\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1\r\nX-Host: contoso.com\r\n\r\n",
        "HTTP/1.0\r\n\r\n",
    ] {
        let reply = exchange(app.http, format!("GET {WELL_KNOWN} {head}").as_bytes())
            .await
            .unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (400, NO_DOCUMENT), "{head:?}");
    }
    // A folded header and a space before the colon are how one server's Host hides from another.
    for head in [
        "HTTP/1.1\r\nHost: contoso.com\r\n evil.example\r\n\r\n",
        "HTTP/1.1\r\nHost : contoso.com\r\n\r\n",
        "HTTP/1.1\r\n Host: contoso.com\r\n\r\n",
    ] {
        let reply = exchange(app.http, format!("GET {WELL_KNOWN} {head}").as_bytes())
            .await
            .unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (400, NO_DOCUMENT), "{head:?}");
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn an_absolute_target_names_the_domain_and_wins_over_host(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    for (target, host, expected) in [
        ("http://contoso.com", "xn--bcher-kva.example", contoso()),
        ("http://xn--bcher-kva.example", "contoso.com", buecher()),
        ("HTTP://CONTOSO.COM:80", "unknown.example", contoso()),
        ("https://contoso.com.:443", "contoso.com", contoso()),
    ] {
        let request = format!("GET {target}{WELL_KNOWN} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = exchange(app.http, request.as_bytes()).await.unwrap();
        assert_eq!((reply.status, reply.body), (200, expected), "{target} {host}");
    }
    for (target, head, status) in [
        ("http://unknown.example", "Host: contoso.com\r\n", 404),
        ("http://contoso.com@unknown.example", "Host: contoso.com\r\n", 400),
        ("http://ada@contoso.com", "Host: contoso.com\r\n", 400),
        ("http://", "Host: contoso.com\r\n", 400),
        ("http://contoso.com:x", "Host: contoso.com\r\n", 400),
        ("http://contoso.com", "Host: contoso.com\r\nHost: contoso.com\r\n", 400),
        // RFC 9112 §3.2: without Host, or with one that is none, it is a bad request all the same.
        ("http://contoso.com", "", 400),
        ("http://contoso.com", "Host: a b\r\n", 400),
    ] {
        let request = format!("GET {target}{WELL_KNOWN} HTTP/1.1\r\n{head}\r\n");
        let reply = exchange(app.http, request.as_bytes()).await.unwrap();
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (status, NO_DOCUMENT),
            "{target} {head}"
        );
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn no_other_header_names_the_domain_path_or_method(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    for more in [
        "X-Forwarded-Host: xn--bcher-kva.example\r\n",
        "X-Forwarded-Server: xn--bcher-kva.example\r\n",
        "Forwarded: for=203.0.113.7;host=xn--bcher-kva.example;proto=https\r\n",
        "X-Host: xn--bcher-kva.example\r\n",
        "X-Original-Host: xn--bcher-kva.example\r\n",
        "X-HTTP-Host-Override: xn--bcher-kva.example\r\n",
        "X-Original-URL: /other\r\n",
        "X-Rewrite-URL: /other\r\n",
        "X-HTTP-Method-Override: DELETE\r\n",
        ":authority: xn--bcher-kva.example\r\n",
    ] {
        let known = ask(app.http, b"contoso.com", more).await;
        let unknown = ask(app.http, b"unknown.example", more).await;
        let is_header = !more.starts_with(':');
        let expected = if is_header { (200, 404) } else { (400, 400) };
        assert_eq!((known.status, unknown.status), expected, "{more}");
        assert!(!known.body.contains(OTHER_TENANT) && unknown.body.is_empty(), "{more}");
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn a_target_may_be_long_and_odd_and_is_answered_or_refused(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    let with_query = |query: &[u8]| [WELL_KNOWN.as_bytes(), b"?", query].concat();
    for query in [
        b"a".repeat(60_000),
        [b"user-identifier=".as_slice(), &b"a".repeat(60_000)].concat(),
        b"&".repeat(60_000),
        b"%".to_vec(),
        b"%4".to_vec(),
        b"%zz%%%4".to_vec(),
        b"user-identifier=%".to_vec(),
        b"user-identifier=%00%0d%0aX:%20y&model-family=%00".to_vec(),
        b"user-identifier=%ff%fe".to_vec(),
        b"user-identifier=../../etc/passwd&model-family='or''='".to_vec(),
        b"?".to_vec(),
        b"#x".to_vec(),
    ] {
        let reply = ask_target(app.http, "contoso.com", &with_query(&query)).await;
        let shown = query.escape_ascii().to_string();
        assert_eq!(
            (reply.status, reply.body),
            (200, contoso()),
            "{}",
            &shown[..shown.len().min(60)]
        );
    }
    for query in [
        b"a".repeat(200_000),
        b"a".repeat(70_000),
        "user-identifier=ädä@contoso.com".as_bytes().to_vec(),
        b"user-identifier=\xff\xfe".to_vec(),
        b"user-identifier=\0".to_vec(),
        b"user-identifier=\x01".to_vec(),
        b"user-identifier=\x7f".to_vec(),
        b"a b".to_vec(),
        b"a\tb".to_vec(),
    ] {
        let reply = ask_target(app.http, "contoso.com", &with_query(&query)).await;
        let shown = query.escape_ascii().to_string();
        assert!(
            matches!(reply.status, 400 | 413 | 414 | 431),
            "{}: {}",
            reply.status,
            &shown[..shown.len().min(60)]
        );
        assert_eq!(reply.body, NO_DOCUMENT);
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn nothing_but_the_exact_path_is_discovery(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    for target in [
        "/.well-known/com.apple.remotemanagement/",
        "/.well-known/com.apple.remotemanagement/x",
        "/.well-known/com.apple.remotemanagement%00",
        "/.well-known/com.apple.remotemanagement;x",
        "/.well-known/com.apple.remotemanagement.json",
        "/.well-known/com.apple.remotemanagemen",
        "//.well-known/com.apple.remotemanagement",
        "/x/../.well-known/com.apple.remotemanagement",
        "/./.well-known/com.apple.remotemanagement",
        "/.well-known//com.apple.remotemanagement",
        "/%2ewell-known/com.apple.remotemanagement",
        "/.well-known%2fcom.apple.remotemanagement",
        "/.well-known/com%2Eapple.remotemanagement",
        "/.WELL-KNOWN/com.apple.remotemanagement",
        "/.well-known/COM.APPLE.REMOTEMANAGEMENT",
        "/.well-known\\com.apple.remotemanagement",
        "/d/contoso.com/.well-known/com.apple.remotemanagement",
        "/",
        "/api/v1/me",
        "/docs",
        "/healthz",
        "/metrics",
    ] {
        let reply = ask_target(app.http, "contoso.com", target.as_bytes()).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, NO_DOCUMENT), "{target}");
    }
    for target in ["*", ".well-known/com.apple.remotemanagement", "?", "contoso.com:443"] {
        let reply = ask_target(app.http, "contoso.com", target.as_bytes()).await;
        assert!(matches!(reply.status, 400 | 404), "{target}: {}", reply.status);
        assert_eq!(reply.body, NO_DOCUMENT, "{target}");
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn only_get_and_head_are_allowed_on_any_domain(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    for host in ["contoso.com", "unknown.example"] {
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X",
        ] {
            let request = format!("{method} {WELL_KNOWN} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}");
            let reply = exchange(app.http, request.as_bytes()).await.unwrap();
            assert_eq!(
                (reply.status, reply.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {host}"
            );
            assert_eq!(reply.body, NO_DOCUMENT);
        }
        let reply = exchange(
            app.http,
            format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
        )
        .await;
        assert!(reply.is_none_or(|reply| (400..500).contains(&reply.status)));
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn many_headers_are_too_many_and_harm_nobody(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    let some = "X: y\r\n".repeat(80);
    assert_eq!(ask(app.http, b"contoso.com", &some).await.body, contoso());
    let many = "X: y\r\n".repeat(200);
    let large = format!("X: {}\r\n", "y".repeat(200_000));
    for more in [many, large] {
        let reply = ask(app.http, b"contoso.com", &more).await;
        assert!(matches!(reply.status, 400 | 413 | 431), "{}", reply.status);
    }
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn requests_on_one_connection_are_answered_in_order_each_for_its_own_domain(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    let get = |host: &str| format!("GET {WELL_KNOWN} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut wire = Wire::connect(app.http).await;
    let body = "Content-Length: 5\r\n\r\nhello";
    let post = format!("POST {WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\n{body}");
    let hosts = ["contoso.com", "xn--bcher-kva.example", "unknown.example", "contoso.com"];
    let requests: String = hosts.map(get).concat() + &post + &get("contoso.com");
    wire.send(requests.as_bytes()).await;
    let mut replies = Vec::new();
    for _ in 0..6 {
        let Reply { status, body, .. } = wire.reply().await.unwrap();
        replies.push((status, body));
    }
    let nothing = NO_DOCUMENT.to_owned();
    assert_eq!(
        replies,
        [
            (200, contoso()),
            (200, buecher()),
            (404, nothing.clone()),
            (200, contoso()),
            (405, nothing),
            (200, contoso()),
        ]
    );
    stop_after_a_last_answer(app).await;
}

#[sqlx::test]
async fn an_old_client_is_answered_and_the_connection_closed(pool: PgPool) {
    let (app, _msp) = two_domains(pool).await;
    let mut wire = Wire::connect(app.http).await;
    wire.send(format!("GET {WELL_KNOWN} HTTP/1.0\r\nHost: contoso.com\r\n\r\n").as_bytes())
        .await;
    assert_eq!(wire.reply().await.unwrap().body, contoso());
    assert_eq!(wire.rest().await, b"");
    let garbage: [&[u8]; 5] = [
        b"\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: contoso.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"GET  HTTP/1.1\r\n\r\n",
    ];
    for bytes in garbage {
        let reply = exchange(app.http, bytes).await;
        assert!(
            reply.is_none_or(|reply| (400..500).contains(&reply.status)),
            "{}",
            bytes.escape_ascii()
        );
    }
    stop_after_a_last_answer(app).await;
}
