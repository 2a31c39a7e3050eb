//! What a device is told, and that nobody else's domain, path or method is told anything.
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{TENANT, TestApp, WELL_KNOWN, eventually, intune_document, intune_document_of},
    wire::{ask, ask_target, exchange, exchange_head},
};

fn microsofts_checks(host: &str) -> [String; 2] {
    let query = format!("?user-identifier=firstname.surname@{host}&model-family=iPhone");
    [WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}{query}")]
}

#[sqlx::test]
async fn microsofts_two_checks_succeed_for_each_of_its_three_clouds(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for (host, cloud, tld) in [
        ("contoso.com", "global", "com"),
        ("contoso.us", "us_government", "us"),
        ("contoso.cn", "china", "cn"),
    ] {
        msp.register_intune(host, &TENANT.to_uppercase(), cloud).await;
        app.verify(host).await;
        for target in microsofts_checks(host) {
            let reply = ask_target(app.http, host, target.as_bytes()).await;
            assert_eq!(
                (reply.status, &reply.body),
                (200, &intune_document_of(TENANT, tld)),
                "{target}"
            );
            let request = format!("HEAD {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let head = exchange_head(app.http, request.as_bytes()).await;
            assert_eq!(
                (head.status, head.header("content-type")),
                (200, Some("application/json")),
                "{target}"
            );
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn head_answers_with_the_headers_of_get_and_no_body(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for (host, default) in [
        (
            "reject.example",
            json!({"action": "reject", "message": "Ask IT first."}),
        ),
        ("defer.example", json!({"action": "defer"})),
        (
            "redirect.example",
            json!({"action": "redirect", "url": "https://mdm.example/x"}),
        ),
    ] {
        msp.register_with(json!({"hostname": host, "policy": {"default": default}}))
            .await;
        app.verify(host).await;
    }
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    for (host, status) in [
        ("contoso.com", 200),
        ("reject.example", 403),
        ("defer.example", 404),
        ("redirect.example", 307),
        ("unknown.example", 404),
        ("not a host", 400),
    ] {
        let request = |method: &str| {
            format!("{method} {WELL_KNOWN}?model-family=Mac HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        };
        let get = exchange(app.http, request("GET").as_bytes()).await.unwrap();
        let head = exchange_head(app.http, request("HEAD").as_bytes()).await;
        assert_eq!((get.status, head.status), (status, status), "{host}");
        assert_eq!(head.body, "", "{host}");
        assert_eq!(get.stable_headers(), head.stable_headers(), "{host}");
        assert_eq!(
            get.header("content-length"),
            Some(get.body.len().to_string().as_str()),
            "{host}"
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn each_action_has_its_answer_and_none_may_be_stored(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let served = domain["policy"]["default"].clone();
    let rejected = r#"{"code":"com.apple.well-known.failed","description":"Enrollment is not allowed by the policy of this domain.","message":"Frag zuerst die „IT“ \\ \"now\"."}"#;
    let query = "?user-identifier=first+tag@contoso.com&model-family=Mac";
    let json = Some("application/json");
    for (default, status, content_type, body, location) in [
        (served, 200, json, intune_document().as_str(), None),
        (
            json!({"action": "reject", "message": "Frag zuerst die „IT“ \\ \"now\"."}),
            403,
            json,
            rejected,
            None,
        ),
        (json!({"action": "defer"}), 404, None, "", None),
        (
            json!({"action": "redirect", "url": "https://mdm.example/discover"}),
            307,
            None,
            "",
            Some("https://mdm.example/discover?user-identifier=first+tag@contoso.com&model-family=Mac"),
        ),
        (
            json!({"action": "redirect", "url": "https://mdm.example/discover?tenant=7"}),
            307,
            None,
            "",
            Some("https://mdm.example/discover?tenant=7&user-identifier=first+tag@contoso.com&model-family=Mac"),
        ),
    ] {
        let changed = msp
            .patch("/domains/contoso.com", json!({"policy": {"default": default}}))
            .await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        eventually(|| async {
            let answer = app.ask("contoso.com", query).await;
            answer.status == status && answer.header("location") == location && answer.text == body
        })
        .await;
        let answer = app.ask("contoso.com", query).await;
        assert_eq!(answer.header("content-type"), content_type, "{default}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{default}");
        let nosniff = (!body.is_empty()).then_some("nosniff");
        assert_eq!(answer.header("x-content-type-options"), nosniff, "{default}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_vendor_that_wants_the_family_in_its_url_gets_the_one_that_asked(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let server = json!({"vendor": "mosyle", "parameters": {"account": "contoso"}});
    msp.register_with(json!({"hostname": "contoso.com", "server": server}))
        .await;
    app.verify("contoso.com").await;
    for (query, family) in [
        ("?model-family=AppleTV", "AppleTV"),
        ("?model-family=iPad", "iPad"),
        ("?model-family=iPhone", "iPhone"),
        ("?model-family=Mac", "Mac"),
        ("?model-family=RealityDevice", "RealityDevice"),
        ("?model-family=Watch", "Watch"),
        ("?model-family=%4Dac", "Mac"),
        ("?model-family=mac", ""),
        ("?model-family=Toaster%22%7D", ""),
        ("", ""),
    ] {
        let expected = format!(
            r#"{{"Servers":[{{"Version":"mdm-adde","BaseURL":"https://contoso.business.mosyle.io/api/v2enrollment/enroll/adde?model-family={family}"}}]}}"#
        );
        let answer = app.ask("contoso.com", query).await;
        assert_eq!((answer.status, answer.text), (200, expected), "{query}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn rules_choose_by_family_and_by_the_decoded_user(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let reject = |message: &str| json!({"action": "reject", "message": message});
    let rules = json!([
        {"when": {"model_families": ["Mac"], "users": ["*@eu.contoso.com"]}, "then": reject("Mac in the EU")},
        {"when": {"users": ["first+tag@contoso.com", "*pilot*"]}, "then": reject("pilot")},
        {"when": {"model_families": ["iPad", "Watch"]}, "then": reject("tablet")},
    ]);
    let policy = json!({"default": reject("default"), "rules": rules});
    msp.register_with(json!({"hostname": "contoso.com", "policy": policy}))
        .await;
    app.verify("contoso.com").await;
    for (query, expected) in [
        ("user-identifier=ada@eu.contoso.com&model-family=Mac", "Mac in the EU"),
        ("model-family=Mac&user-identifier=ADA%40EU.Contoso.COM", "Mac in the EU"),
        ("user-identifier=ada@eu.contoso.com&model-family=iPhone", "default"),
        ("user-identifier=ada@contoso.com&model-family=Mac", "default"),
        ("user-identifier=first+tag@contoso.com&model-family=iPhone", "pilot"),
        ("user-identifier=First%2BTag%40contoso.com", "pilot"),
        // No form decoding: a space is another person than a plus.
        ("user-identifier=first%20tag@contoso.com", "default"),
        ("user-identifier=a.pilot@contoso.com&model-family=iPad", "pilot"),
        ("user-identifier=%ff%00pilot%fe&model-family=iPad", "pilot"),
        ("user-identifier=%ff%fe&model-family=iPad", "tablet"),
        ("model-family=Watch", "tablet"),
        ("user-identifier=&model-family=iPad", "tablet"),
        ("model-family=ipad", "default"),
        ("model-family=iPad%20", "default"),
        ("user-identifier=*pilot", "pilot"),
        ("user-identifier=*", "default"),
        ("USER-IDENTIFIER=a.pilot@contoso.com", "default"),
        (
            "user-identifier=ada@contoso.com&user-identifier=a.pilot@contoso.com",
            "default",
        ),
        ("user-identifier", "default"),
        ("", "default"),
    ] {
        let answer = app.ask("contoso.com", &format!("?{query}")).await;
        assert_eq!(
            (answer.status, answer.json()["message"].as_str()),
            (403, Some(expected)),
            "{query}"
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn other_paths_of_a_domain_lead_to_its_website_or_nowhere(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let website = msp.register("contoso.com").await;
    assert_eq!(website["website_url"], Value::Null);
    msp.register("fabrikam.com").await;
    let patch = json!({"website_url": "https://www.contoso.com/start"});
    assert_eq!(msp.patch("/domains/contoso.com", patch).await.status, 200);
    app.verify("contoso.com").await;
    app.verify("fabrikam.com").await;
    for path in [
        "/",
        "/index.html?user-identifier=x",
        "/.well-known/acme-challenge/x",
        "/api/v1/me",
        "/docs",
    ] {
        let reply = ask_target(app.http, "contoso.com", path.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (308, Some("https://www.contoso.com/start")),
            "{path}"
        );
        let reply = ask_target(app.http, "fabrikam.com", path.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.header("location"), reply.body.as_str()),
            (404, None, ""),
            "{path}"
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_that_is_unverified_suspended_or_deleted_looks_like_one_that_never_was(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (msp, other) = (app.msp("Acme IT").await, app.msp("Suspended IT").await);
    for (who, hostname) in [
        (&msp, "unverified.example"),
        (&msp, "deleted.example"),
        (&other, "suspended.example"),
    ] {
        let website_url = "https://www.example.org/";
        who.register(hostname).await;
        let patch = json!({"website_url": website_url});
        assert_eq!(who.patch(&format!("/domains/{hostname}"), patch).await.status, 200);
    }
    app.verify("deleted.example").await;
    app.verify("suspended.example").await;
    assert_eq!(msp.delete("/domains/deleted.example").await.status, 204);
    app.suspend(&other).await;
    let gone = ["deleted.example", "suspended.example"];
    eventually(|| async { !gone.iter().any(|hostname| app.running.serves(hostname)) }).await;

    for target in [
        WELL_KNOWN,
        "/.well-known/com.apple.remotemanagement?model-family=Mac",
        "/",
    ] {
        let never = ask_target(app.http, "never.example", target.as_bytes()).await;
        for hostname in ["unverified.example", "deleted.example", "suspended.example"] {
            let reply = ask_target(app.http, hostname, target.as_bytes()).await;
            assert_eq!(reply.status, 404, "{hostname}{target}");
            assert_eq!(
                (reply.stable_headers(), reply.body),
                (never.stable_headers(), never.body.clone()),
                "{hostname}"
            );
            let by_edge = format!("/d/{hostname}{WELL_KNOWN}");
            assert_eq!(
                ask_target(app.http, "edge.signpost.test", by_edge.as_bytes())
                    .await
                    .status,
                404
            );
        }
    }
    app.resume(&other).await;
    eventually(|| async { app.running.serves("suspended.example") }).await;
    assert_eq!(app.ask("suspended.example", "").await.text, intune_document());
    app.stop().await;
}

#[sqlx::test]
async fn each_of_our_hosts_serves_its_own_face_only(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let by_edge = format!("/d/contoso.com{WELL_KNOWN}");
    for (host, path, status) in [
        ("portal.signpost.test", WELL_KNOWN, 404),
        ("portal.signpost.test", by_edge.as_str(), 404),
        ("PORTAL.signpost.test.:80", "/docs", 200),
        ("portal.signpost.test", "/api/v1/me", 401),
        ("127.0.0.1", "/docs", 200),
        ("127.0.0.1", WELL_KNOWN, 404),
        ("edge.signpost.test", WELL_KNOWN, 404),
        ("edge.signpost.test", "/docs", 404),
        ("edge.signpost.test", "/api/v1/me", 404),
        ("edge.signpost.test", "/", 404),
        ("contoso.com", "/docs", 404),
        ("contoso.com", "/api/v1/me", 404),
        ("contoso.com", "/api/v1/openapi.json", 404),
        ("contoso.com", "/static/app.css", 404),
        ("unknown.example", "/docs", 404),
        ("unknown.example", "/api/v1/me", 404),
        ("203.0.113.7", "/docs", 404),
        ("localhost", "/docs", 404),
    ] {
        let reply = ask_target(app.http, host, path.as_bytes()).await;
        assert_eq!(reply.status, status, "{host}{path}");
        assert_ne!(reply.body, intune_document(), "{host}{path}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_edge_host_answers_for_the_domain_in_its_path(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let edge = "edge.signpost.test";
    for hostname in ["contoso.com", "CONTOSO.com", "Contoso.COM."] {
        let target = format!("/d/{hostname}{WELL_KNOWN}?user-identifier=ada@contoso.com&model-family=iPad");
        let reply = ask_target(app.http, edge, target.as_bytes()).await;
        assert_eq!((reply.status, reply.body), (200, intune_document()), "{hostname}");
    }
    let reply = ask_target(
        app.http,
        "EDGE.Signpost.test.:443",
        format!("/d/contoso.com{WELL_KNOWN}").as_bytes(),
    )
    .await;
    assert_eq!(reply.body, intune_document());
    for target in [
        format!("/d/unknown.example{WELL_KNOWN}"),
        format!("/d/contoso.com/{WELL_KNOWN}"),
        format!("/d/contoso.com{WELL_KNOWN}/"),
        format!("/d/contoso.com:443{WELL_KNOWN}"),
        format!("/d/contoso%2ecom{WELL_KNOWN}"),
        format!("/d/x@contoso.com{WELL_KNOWN}"),
        format!("/d/../d/contoso.com{WELL_KNOWN}"),
        format!("/d/x/../contoso.com{WELL_KNOWN}"),
        format!("/d/{WELL_KNOWN}"),
        format!("/d/127.0.0.1{WELL_KNOWN}"),
        format!("/d/[::1]{WELL_KNOWN}"),
        format!("/d/portal.signpost.test{WELL_KNOWN}"),
        format!("/D/contoso.com{WELL_KNOWN}"),
        format!("//d/contoso.com{WELL_KNOWN}"),
        "/d/contoso.com/".to_owned(),
        "/d/contoso.com".to_owned(),
    ] {
        let reply = ask_target(app.http, edge, target.as_bytes()).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, ""), "{target}");
    }
    let post = format!("POST /d/contoso.com{WELL_KNOWN} HTTP/1.1\r\nHost: {edge}\r\nContent-Length: 0\r\n\r\n");
    let reply = exchange(app.http, post.as_bytes()).await.unwrap();
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask(app.http, b"contoso.com", "").await.status, 200);
    app.stop().await;
}
