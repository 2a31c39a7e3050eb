//! Input that is not what it should be: each mistake is a 4xx that names its place, and none is a 5xx.
use std::io::Write;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::app::{Answer, JSON, Msp, TENANT, TestApp};

/// Every operation that takes a body, on things that are there.
struct Writes {
    msp: Msp,
    client: String,
    server: String,
    webhook: String,
    paths: [(&'static str, String); 17],
}

impl Writes {
    async fn on(app: &TestApp) -> Self {
        let msp = app.msp("Acme IT").await;
        let domain = msp.register("contoso.com").await;
        let members = msp.get("/members").await.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (client, server) = (
            text(&domain["client_id"]),
            text(&domain["policy"]["default"]["server_id"]),
        );
        let webhook = json!({"url": "https://hooks.acme.example/", "events": ["certificate.issued"]});
        let webhook = msp.post("/webhook-endpoints", webhook).await.json();
        let webhook = format!("/webhook-endpoints/{}", text(&webhook["id"]));
        let paths = [
            ("POST", "/clients".to_owned()),
            ("PATCH", format!("/clients/{client}")),
            ("POST", "/mdm-servers".to_owned()),
            ("PATCH", format!("/mdm-servers/{server}")),
            ("POST", "/mdm-servers/parse".to_owned()),
            ("POST", "/domains".to_owned()),
            ("PATCH", "/domains/contoso.com".to_owned()),
            ("POST", "/domains/import".to_owned()),
            ("POST", "/domains/contoso.com/share-links".to_owned()),
            ("POST", "/tokens".to_owned()),
            ("POST", "/invitations".to_owned()),
            ("PATCH", format!("/members/{}", text(&members["data"][0]["id"]))),
            ("POST", "/webhook-endpoints".to_owned()),
            ("PATCH", webhook.clone()),
            ("PATCH", "/organisation".to_owned()),
            ("PUT", "/single-sign-on".to_owned()),
            ("POST", "/requests/erasures".to_owned()),
        ];
        Self {
            msp,
            client,
            server,
            webhook,
            paths,
        }
    }

    /// A domain that could be registered, but for the changed members.
    fn domain(&self, changed: &Value) -> Value {
        let fine = json!({"hostname": "new.example.com", "client_id": self.client, "server": {"vendor": "intune", "parameters": {"tenant_id": TENANT}}});
        merged(fine, changed)
    }

    fn mdm_server(&self, changed: &Value) -> Value {
        let fine = json!({"client_id": self.client, "vendor": "fleet", "parameters": {"host": "fleet.contoso.com"}});
        merged(fine, changed)
    }
}

fn merged(mut fine: Value, changed: &Value) -> Value {
    for (name, value) in changed.as_object().unwrap() {
        fine[name] = value.clone();
    }
    fine
}

fn rule(when: Value, then: Value) -> Value {
    json!({"default": {"action": "defer"}, "rules": [{"when": when, "then": then}]})
}

#[sqlx::test]
async fn a_body_that_is_no_json_object_is_422(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    let deep_arrays = "[".repeat(100_000);
    let deep_objects = r#"{"name":"#.repeat(20_000);
    let bodies: [&[u8]; 17] = [
        b"",
        b" ",
        b"{",
        b"{}}",
        b"null",
        b"[]",
        b"[null]",
        b"1",
        b"1e999",
        b"\"text\"",
        b"\xef\xbb\xbf{}",
        b"{\"name\":\"\xff\xfe\"}",
        b"{\"\xc3\x28\":1}",
        b"{\"name\":\"\\ud800\"}",
        b"\0",
        deep_arrays.as_bytes(),
        deep_objects.as_bytes(),
    ];
    for (method, path) in &writes.paths {
        for body in bodies {
            let answer = writes.msp.send(method, path, body.to_vec(), &[JSON]).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(!answer.pointers().is_empty(), "{method} {path} {shown}");
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_body_that_is_too_large_or_of_another_type_is_refused(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    for (method, path) in &writes.paths {
        let large = match path.as_str() {
            "/domains/import" => 9 * 1024 * 1024,
            _ => 300 * 1024,
        };
        let body = format!("{{\"name\":\"{}\"}}", "a".repeat(large));
        for more in [None, Some(("idempotency-key", "large"))] {
            let headers: Vec<_> = [JSON].into_iter().chain(more).collect();
            let answer = writes.msp.send(method, path, body.clone(), &headers).await;
            answer.problem(413, "payload_too_large");
        }
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "",
            "json",
        ] {
            let answer = writes
                .msp
                .send(method, path, "{}", &[("content-type", content_type)])
                .await;
            answer.problem(415, "unsupported_media_type");
        }
        writes
            .msp
            .send(method, path, "{}", &[])
            .await
            .problem(415, "unsupported_media_type");
    }
    for content_type in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.api+json",
    ] {
        let answer = writes
            .msp
            .send(
                "POST",
                "/clients",
                format!("{{\"name\":\"{content_type}\"}}"),
                &[("content-type", content_type)],
            )
            .await;
        assert_eq!(answer.status, 201, "{content_type}: {}", answer.text);
    }
    app.stop().await;
}

#[sqlx::test]
async fn an_unknown_field_and_a_wrong_type_are_named_with_their_place(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    let (client, server) = (&writes.client, &writes.server);
    let domain = |changed: Value| writes.domain(&changed);
    let mdm_server = |changed: Value| writes.mdm_server(&changed);
    let token = |changed: Value| merged(json!({"name": "CI", "scopes": ["domains:read"]}), &changed);
    let invitation = |changed: Value| merged(json!({"email": "new@contoso.com", "role": "viewer"}), &changed);
    let fine = json!({"url": "https://hooks.acme.example/", "events": ["certificate.issued"]});
    let webhook = |changed: Value| merged(fine.clone(), &changed);
    let at_webhook = writes.webhook.clone();
    let provider = json!({"issuer": "https://id.example", "client_id": "signpost", "client_secret": "x", "mail_domains": ["contoso.com"]});
    let provider = |changed: Value| merged(provider.clone(), &changed);
    let at_client = format!("/clients/{client}");
    let at_server = format!("/mdm-servers/{server}");
    let cases = [
        ("POST", "/clients", json!({"name": "A", "x": 1}), "/x"),
        ("POST", "/clients", json!({"name": 1}), "/name"),
        ("POST", "/clients", json!({"name": ["A"]}), "/name"),
        ("POST", "/clients", json!({"name": null}), "/name"),
        ("POST", "/clients", json!({"name": "A", "id": client}), "/id"),
        ("POST", "/clients", json!({"name": "A", "a/b~c": 1}), "/a~1b~0c"),
        (
            "POST",
            "/clients",
            json!({"name": "A", "external_ref": 7}),
            "/external_ref",
        ),
        ("POST", "/clients", json!({}), ""),
        ("PATCH", &at_client, json!({"x": null}), "/x"),
        ("PATCH", &at_client, json!({"domain_count": 1}), "/domain_count"),
        ("PATCH", &at_client, json!({"external_ref": {}}), "/external_ref"),
        ("POST", "/mdm-servers", mdm_server(json!({"x": 1})), "/x"),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"base_url": "https://a.example"})),
            "/base_url",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"client_id": "1"})),
            "/client_id",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"client_id": null})),
            "/client_id",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"vendor": "Fleet"})),
            "/vendor",
        ),
        ("POST", "/mdm-servers", mdm_server(json!({"vendor": ""})), "/vendor"),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"enrollment": "BYOD"})),
            "/enrollment",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"parameters": "x"})),
            "/parameters",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"parameters": {}})),
            "/parameters/host",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"parameters": {"host": 1}})),
            "/parameters/host",
        ),
        (
            "POST",
            "/mdm-servers",
            mdm_server(json!({"parameters": {"host": "a.example.com", "a/b": ""}})),
            "/parameters/a~1b",
        ),
        ("PATCH", &at_server, json!({"vendor": "fleet"}), "/vendor"),
        ("PATCH", &at_server, json!({"client_id": client}), "/client_id"),
        (
            "PATCH",
            &at_server,
            json!({"parameters": {"tenant_id": "x"}}),
            "/parameters/tenant_id",
        ),
        ("PATCH", &at_server, json!({"enrollment": "adde"}), "/enrollment"),
        ("POST", "/mdm-servers/parse", json!({"document": "{}", "x": 1}), "/x"),
        ("POST", "/mdm-servers/parse", json!({"document": {}}), "/document"),
        (
            "POST",
            "/mdm-servers/parse",
            json!({"document": "nothing"}),
            "/document",
        ),
        ("POST", "/domains", domain(json!({"x": 1})), "/x"),
        ("POST", "/domains", domain(json!({"status": "active"})), "/status"),
        ("POST", "/domains", domain(json!({"hostname": 1})), "/hostname"),
        ("POST", "/domains", domain(json!({"hostname": null})), "/hostname"),
        (
            "POST",
            "/domains",
            domain(json!({"client_name": "Contoso"})),
            "/client_name",
        ),
        ("POST", "/domains", domain(json!({"client_id": null})), "/client_id"),
        ("POST", "/domains", domain(json!({"client_id": 1})), "/client_id"),
        ("POST", "/domains", domain(json!({"server_id": server})), "/server"),
        ("POST", "/domains", domain(json!({"server": null})), "/server"),
        (
            "POST",
            "/domains",
            domain(json!({"server": {"vendor": "intune", "x": 1}})),
            "/server/x",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"server": {"vendor": "intun"}})),
            "/server/vendor",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"server": {"vendor": "intune", "parameters": {"tenant_id": "1"}}})),
            "/server/parameters/tenant_id",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"server": {"vendor": "intune", "enrollment": "adde", "parameters": {"tenant_id": TENANT}}})),
            "/server/enrollment",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"connection": "Direct"})),
            "/connection",
        ),
        ("POST", "/domains", domain(json!({"connection": 1})), "/connection"),
        (
            "POST",
            "/domains",
            domain(json!({"website_url": "www.contoso.com"})),
            "/website_url",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"policy": {"default": {"action": "defer"}}})),
            "/policy/default",
        ),
        ("POST", "/domains", domain(json!({"policy": {"x": 1}})), "/policy/x"),
        ("POST", "/domains", domain(json!({"policy": []})), "/policy"),
        (
            "POST",
            "/domains",
            domain(json!({"policy": {"rules": [{"when": {}, "then": {"action": "defer"}}]}})),
            "/policy/rules/0/when",
        ),
        (
            "POST",
            "/domains",
            domain(
                json!({"policy": {"rules": [{"when": {"model_families": ["iphone"]}, "then": {"action": "defer"}}]}}),
            ),
            "/policy/rules/0/when/model_families/0",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"policy": {"rules": [{"when": {"users": "*"}, "then": {"action": "defer"}}]}})),
            "/policy/rules/0/when/users",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"policy": {"rules": [{"when": {"users": ["*"], "x": 1}, "then": {"action": "defer"}}]}})),
            "/policy/rules/0/when/x",
        ),
        (
            "POST",
            "/domains",
            domain(json!({"policy": {"rules": [{"when": {"users": ["*"]}}]}})),
            "/policy/rules/0",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"hostname": "other.com"}),
            "/hostname",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"client_id": client}),
            "/client_id",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"connection": "tunnel"}),
            "/connection",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"website_url": "ftp://contoso.com"}),
            "/website_url",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"policy": {"rules": []}}),
            "/policy",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"policy": rule(json!({}), json!({"action": "defer"}))}),
            "/policy/rules/0/when",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"policy": rule(json!({"users": ["a"]}), json!({"action": "redirect", "url": "http://a.example"}))}),
            "/policy/rules/0/then/url",
        ),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"policy": {"default": {"action": "reject", "message": ""}}}),
            "/policy/default/message",
        ),
        ("POST", "/domains/import", json!({"rows": [], "x": 1}), "/x"),
        ("POST", "/domains/import", json!({"rows": {}}), "/rows"),
        (
            "POST",
            "/domains/import",
            json!({"rows": [], "dry_run": "yes"}),
            "/dry_run",
        ),
        ("POST", "/domains/import", json!({"rows": [], "partial": 1}), "/partial"),
        ("POST", "/tokens", token(json!({"x": 1})), "/x"),
        ("POST", "/tokens", token(json!({"token": "sgp_chosen"})), "/token"),
        ("POST", "/tokens", token(json!({"scopes": "domains:read"})), "/scopes"),
        ("POST", "/tokens", token(json!({"scopes": []})), "/scopes"),
        (
            "POST",
            "/tokens",
            token(json!({"scopes": ["domains:read", "Domains:Write"]})),
            "/scopes/1",
        ),
        ("POST", "/tokens", token(json!({"scopes": [null]})), "/scopes/0"),
        ("POST", "/tokens", token(json!({"expires_at": 1})), "/expires_at"),
        (
            "POST",
            "/tokens",
            token(json!({"expires_at": "tomorrow"})),
            "/expires_at",
        ),
        (
            "POST",
            "/tokens",
            token(json!({"expires_at": "2020-01-01T00:00:00Z"})),
            "/expires_at",
        ),
        ("POST", "/tokens", token(json!({"client_id": "contoso"})), "/client_id"),
        ("POST", "/invitations", invitation(json!({"x": 1})), "/x"),
        ("POST", "/invitations", invitation(json!({"email": 1})), "/email"),
        ("POST", "/invitations", invitation(json!({"email": "new"})), "/email"),
        (
            "POST",
            "/invitations",
            invitation(json!({"email": "a@contoso.com\r\nBcc: b@contoso.com"})),
            "/email",
        ),
        ("POST", "/invitations", invitation(json!({"role": "Viewer"})), "/role"),
        ("POST", "/invitations", invitation(json!({"role": null})), "/role"),
        (
            "POST",
            "/invitations",
            invitation(json!({"client_id": "contoso"})),
            "/client_id",
        ),
        (
            "POST",
            "/invitations",
            invitation(json!({"client_id": uuid::Uuid::now_v7()})),
            "/client_id",
        ),
        (
            "POST",
            "/invitations",
            invitation(json!({"role": "admin", "client_id": writes.client})),
            "/client_id",
        ),
        ("PUT", "/single-sign-on", provider(json!({"x": 1})), "/x"),
        ("PUT", "/single-sign-on", provider(json!({"issuer": 1})), "/issuer"),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"issuer": "https://a\0.example"})),
            "/issuer",
        ),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"client_id": ""})),
            "/client_id",
        ),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"client_id": "a\0"})),
            "/client_id",
        ),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"client_secret": "a\0"})),
            "/client_secret",
        ),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"mail_domains": ["127.0.0.1"]})),
            "/mail_domains/0",
        ),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"mail_domains": []})),
            "/mail_domains",
        ),
        (
            "PUT",
            "/single-sign-on",
            provider(json!({"new_member_role": "Viewer"})),
            "/new_member_role",
        ),
        ("POST", "/webhook-endpoints", webhook(json!({"x": 1})), "/x"),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"secret": "whsec_chosen"})),
            "/secret",
        ),
        ("POST", "/webhook-endpoints", webhook(json!({"url": 1})), "/url"),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"url": "ftp://a.example"})),
            "/url",
        ),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"url": "https://a\0.example"})),
            "/url",
        ),
        ("POST", "/webhook-endpoints", webhook(json!({"events": []})), "/events"),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"events": null})),
            "/events",
        ),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"events": ["certificate.issued", "Certificate.issued"]})),
            "/events/1",
        ),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"description": "a\0"})),
            "/description",
        ),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"description": "a".repeat(201)})),
            "/description",
        ),
        (
            "POST",
            "/webhook-endpoints",
            webhook(json!({"client_id": uuid::Uuid::now_v7()})),
            "/client_id",
        ),
        ("PATCH", &at_webhook, json!({"client_id": client}), "/client_id"),
        ("PATCH", &at_webhook, json!({"disabled": "yes"}), "/disabled"),
        ("PATCH", &at_webhook, json!({"events": []}), "/events"),
        ("PATCH", &at_webhook, json!({"url": ""}), "/url"),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, pointer) in cases {
        let found = writes.msp.call(method, path, Some(body.clone())).await.pointers();
        wrong.extend((found != [pointer]).then(|| format!("{method} {path} {body}: {found:?}, not {pointer:?}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.stop().await;
}

#[sqlx::test]
async fn all_that_is_wrong_is_told_at_once(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let body = json!({
        "hostname": "localhost",
        "client_name": " ",
        "connection": "x",
        "website_url": "x",
        "server": {"vendor": "intune", "parameters": {"tenant_id": "x", "cloud": "x"}},
        "policy": {"rules": [{"when": {}, "then": {"action": "reject", "message": ""}}]},
    });
    let mut pointers = msp.post("/domains", body).await.pointers();
    pointers.sort();
    assert_eq!(
        pointers,
        [
            "/client_name",
            "/connection",
            "/hostname",
            "/policy/rules/0/then/message",
            "/policy/rules/0/when",
            "/server/parameters/cloud",
            "/server/parameters/tenant_id",
            "/website_url"
        ]
    );
    app.stop().await;
}

/// PostgreSQL has no U+0000 in a text: each must be noticed before.
#[sqlx::test]
async fn a_null_byte_is_422_wherever_it_stands(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    let (client, server) = (&writes.client, &writes.server);
    let domain = |changed: Value| writes.domain(&changed);
    let by_name = |name: &str| json!({"hostname": "new.example.com", "client_name": name, "policy": {"default": {"action": "defer"}}});
    let cases = [
        ("POST", "/clients".to_owned(), json!({"name": "a\0b"}), "/name"),
        ("POST", "/clients".into(), json!({"name": "\0"}), "/name"),
        (
            "POST",
            "/clients".into(),
            json!({"name": "A", "external_ref": "\0a"}),
            "/external_ref",
        ),
        ("POST", "/clients".into(), json!({"name": "A", "\0": 1}), "/\0"),
        ("PATCH", format!("/clients/{client}"), json!({"name": "a\0"}), "/name"),
        (
            "PATCH",
            format!("/clients/{client}"),
            json!({"external_ref": "a\0"}),
            "/external_ref",
        ),
        (
            "POST",
            "/mdm-servers".into(),
            writes.mdm_server(&json!({"name": "a\0"})),
            "/name",
        ),
        (
            "POST",
            "/mdm-servers".into(),
            writes.mdm_server(&json!({"vendor": "fleet\0"})),
            "/vendor",
        ),
        (
            "POST",
            "/mdm-servers".into(),
            writes.mdm_server(&json!({"enrollment": "byod\0"})),
            "/enrollment",
        ),
        (
            "POST",
            "/mdm-servers".into(),
            writes.mdm_server(&json!({"parameters": {"host": "a\0.example.com"}})),
            "/parameters/host",
        ),
        (
            "POST",
            "/mdm-servers".into(),
            writes.mdm_server(&json!({"parameters": {"host": "a.example.com", "\0": ""}})),
            "/parameters/\0",
        ),
        (
            "POST",
            "/mdm-servers".into(),
            writes.mdm_server(&json!({"vendor": "custom", "parameters": {"base_url": "https://a.example/\0"}})),
            "/parameters/base_url",
        ),
        (
            "PATCH",
            format!("/mdm-servers/{server}"),
            json!({"name": "a\0"}),
            "/name",
        ),
        (
            "PATCH",
            format!("/mdm-servers/{server}"),
            json!({"parameters": {"tenant_id": format!("{TENANT}\0")}}),
            "/parameters/tenant_id",
        ),
        (
            "POST",
            "/mdm-servers/parse".into(),
            json!({"document": "\0"}),
            "/document",
        ),
        (
            "POST",
            "/mdm-servers/parse".into(),
            json!({"document": "{\"Servers\":[{\"Version\":\"mdm-byod\",\"BaseURL\":\"https://a.example.com/\\u0000\"}]}"}),
            "/document",
        ),
        (
            "POST",
            "/domains".into(),
            domain(json!({"hostname": "a\0.example.com"})),
            "/hostname",
        ),
        ("POST", "/domains".into(), by_name("a\0b"), "/client_name"),
        (
            "POST",
            "/domains".into(),
            domain(json!({"connection": "direct\0"})),
            "/connection",
        ),
        (
            "POST",
            "/domains".into(),
            domain(json!({"website_url": "https://a.example/\0"})),
            "/website_url",
        ),
        (
            "POST",
            "/domains".into(),
            domain(json!({"server": {"vendor": "intune", "parameters": {"tenant_id": "\0"}}})),
            "/server/parameters/tenant_id",
        ),
        (
            "PATCH",
            "/domains/contoso.com".into(),
            json!({"website_url": "https://a.example/\0"}),
            "/website_url",
        ),
        (
            "PATCH",
            "/domains/contoso.com".into(),
            json!({"policy": {"default": {"action": "reject", "message": "a\0b"}}}),
            "/policy/default/message",
        ),
        (
            "PATCH",
            "/domains/contoso.com".into(),
            json!({"policy": {"default": {"action": "redirect", "url": "https://a.example/\0"}}}),
            "/policy/default/url",
        ),
        (
            "PATCH",
            "/domains/contoso.com".into(),
            json!({"policy": rule(json!({"users": ["a\0*"]}), json!({"action": "defer"}))}),
            "/policy/rules/0/when/users/0",
        ),
        (
            "PATCH",
            "/domains/contoso.com".into(),
            json!({"policy": rule(json!({"users": ["a"]}), json!({"action": "reject", "message": "\0"}))}),
            "/policy/rules/0/then/message",
        ),
        (
            "POST",
            "/domains/import".into(),
            json!({"rows": [by_name("a\0b")]}),
            "/rows/0/client_name",
        ),
        (
            "POST",
            "/domains/import".into(),
            json!({"rows": [domain(json!({"hostname": "\0"}))]}),
            "/rows/0/hostname",
        ),
        (
            "POST",
            "/tokens".into(),
            json!({"name": "a\0", "scopes": ["domains:read"]}),
            "/name",
        ),
        (
            "POST",
            "/tokens".into(),
            json!({"name": "a", "scopes": ["domains:read\0"]}),
            "/scopes/0",
        ),
        (
            "POST",
            "/invitations".into(),
            json!({"email": "a\0@contoso.com", "role": "viewer"}),
            "/email",
        ),
        (
            "POST",
            "/invitations".into(),
            json!({"email": "a@contoso.com", "role": "viewer\0"}),
            "/role",
        ),
    ];
    for (method, path, body, pointer) in cases {
        let answer = writes.msp.call(method, &path, Some(body.clone())).await;
        assert_eq!(answer.pointers(), [pointer], "{method} {path} {body}");
    }
    for (path, pointer) in [
        ("/domains?q=%00", "?q"),
        ("/domains?q=a%00b", "?q"),
        ("/domains?status=active%00", "?status"),
        ("/domains?cursor=%00", "?cursor"),
        ("/domains?client_id=%00", "?client_id"),
        ("/requests?domain=%00", "?domain"),
        ("/requests?model_family=%00", "?model_family"),
        ("/requests?outcome=%00", "?outcome"),
        ("/requests?since=%00", "?since"),
        ("/requests/summary?group_by=%00", "?group_by"),
        ("/clients?%00=1", "?\0"),
    ] {
        assert_eq!(writes.msp.get(path).await.pointers(), [pointer], "{path}");
    }
    let answer = writes
        .msp
        .get("/domains/contoso.com/preview?user_identifier=%00&model_family=%00")
        .await;
    assert_eq!(
        answer.status, 200,
        "what a device may send can be previewed: {}",
        answer.text
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_query_is_read_strictly(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    for path in [
        "/clients",
        "/mdm-servers",
        "/domains",
        "/requests",
        "/tokens",
        "/members",
        "/invitations",
        "/webhook-endpoints",
        "/audit-events",
    ] {
        for (query, pointer) in [
            ("x=1", "?x"),
            ("limit=0", "?limit"),
            ("limit=101", "?limit"),
            ("limit=-1", "?limit"),
            ("limit=1.5", "?limit"),
            ("limit=", "?limit"),
            ("limit=99999999999999999999999", "?limit"),
            ("cursor=", "?cursor"),
            ("cursor=x", "?cursor"),
            ("cursor=%ff", "?cursor"),
            ("cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "?cursor"),
            ("Limit=1", "?Limit"),
        ] {
            assert_eq!(
                msp.get(&format!("{path}?{query}")).await.pointers(),
                [pointer],
                "{path}?{query}"
            );
        }
        msp.get(&format!("{path}?limit=1&limit=2"))
            .await
            .problem(422, "invalid");
    }
    for (query, pointer) in [
        ("/domains?client_id=contoso", "?client_id"),
        ("/domains?status=Active", "?status"),
        ("/mdm-servers?client_id=", "?client_id"),
        ("/requests?client_id=1", "?client_id"),
        ("/requests?domain=127.0.0.1", "?domain"),
        ("/requests?model_family=iphone", "?model_family"),
        ("/requests?outcome=ok", "?outcome"),
        ("/requests?since=yesterday", "?since"),
        ("/requests?until=2026-13-01T00:00:00Z", "?until"),
        ("/requests?group_by=outcome", "?group_by"),
        ("/requests/summary?group_by=", "?group_by"),
        ("/requests/summary?group_by=user", "?group_by"),
        ("/requests/summary?group_by=hour,day", "?group_by"),
        ("/requests/summary?since=1", "?since"),
        ("/requests/summary?limit=1", "?limit"),
        ("/domains/contoso.com/preview?user=a", "?user"),
        ("/domains/contoso.com/preview?user-identifier=a", "?user-identifier"),
        ("/domains/contoso.com/setup?connection=Proxy", "?connection"),
        ("/domains/contoso.com/setup?server=nginx", "?server"),
    ] {
        assert_eq!(msp.get(query).await.pointers(), [pointer], "{query}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_time_that_no_calendar_shows_is_422(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for time in [
        "-262143-01-01T00:00:00Z",
        "-4800-01-01T00:00:00Z",
        "%2B262142-12-31T23:59:59Z",
        "%2B10000-01-01T00:00:00Z",
    ] {
        for path in ["/requests", "/requests/summary"] {
            for name in ["since", "until"] {
                let answer = msp.get(&format!("{path}?{name}={time}")).await;
                assert_eq!(answer.pointers(), [format!("?{name}")], "{path} {time}");
            }
        }
    }
    for time in [
        "+262142-12-31T23:59:59Z",
        "+10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
    ] {
        let answer = msp
            .post(
                "/tokens",
                json!({"name": "CI", "scopes": ["domains:read"], "expires_at": time}),
            )
            .await;
        assert_eq!(answer.pointers(), ["/expires_at"], "{time}");
    }
    for time in [
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:60Z",
        "9999-12-31T23:59:59.999999999Z",
    ] {
        for path in [
            "/requests?since=",
            "/requests?until=",
            "/requests/summary?since=",
            "/requests/summary?until=",
        ] {
            assert_eq!(msp.get(&format!("{path}{time}")).await.status, 200, "{path}{time}");
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn texts_have_lengths(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    let msp = &writes.msp;
    let longest = "é".repeat(200);
    let too_long = "é".repeat(201);
    let created = msp
        .post("/clients", json!({"name": longest, "external_ref": longest}))
        .await;
    assert_eq!(created.status, 201, "{}", created.text);
    let both = msp
        .post("/clients", json!({"name": too_long, "external_ref": null}))
        .await;
    assert_eq!(both.pointers(), ["/name"]);
    let reference = msp
        .post("/clients", json!({"name": "A", "external_ref": too_long}))
        .await;
    assert_eq!(reference.pointers(), ["/external_ref"]);
    let patch = |policy: Value| msp.patch("/domains/contoso.com", json!({ "policy": policy }));
    let rules = |count: usize| {
        let rule = json!({"when": {"users": ["*"]}, "then": {"action": "defer"}});
        json!({"default": {"action": "defer"}, "rules": vec![rule; count]})
    };
    let users = |count: usize| rule(json!({"users": vec!["*"; count]}), json!({"action": "defer"}));
    let message = |length: usize| json!({"default": {"action": "reject", "message": "é".repeat(length)}});
    let pattern = |length: usize| rule(json!({"users": ["a".repeat(length)]}), json!({"action": "defer"}));
    for (policy, longer, pointer) in [
        (rules(100), rules(101), "/policy/rules"),
        (users(100), users(101), "/policy/rules/0/when/users"),
        (message(500), message(501), "/policy/default/message"),
        (pattern(320), pattern(321), "/policy/rules/0/when/users/0"),
    ] {
        assert_eq!(patch(policy).await.status, 200, "{pointer}");
        assert_eq!(patch(longer).await.pointers(), [pointer]);
    }
    let url = |length: usize| format!("https://contoso.com/{}", "a".repeat(length - 20));
    assert_eq!(
        msp.patch("/domains/contoso.com", json!({"website_url": url(2048)}))
            .await
            .status,
        200
    );
    let longer = msp
        .patch("/domains/contoso.com", json!({"website_url": url(2049)}))
        .await;
    assert_eq!(longer.pointers(), ["/website_url"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_hostname_that_nobody_may_claim_is_refused_with_its_reason(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    let long = format!("{}.com", ["a".repeat(62).as_str(); 4].join("."));
    for (hostname, reason) in [
        ("", "a hostname is needed"),
        ("127.0.0.1", "IP address"),
        ("[::1]", "IP address"),
        ("::1", "IP address"),
        ("0x7f.1", "IP address"),
        ("localhost", "single word"),
        ("com", "single word"),
        ("co.uk", "public suffix"),
        ("Co.Uk.", "public suffix"),
        ("github.io", "public suffix"),
        ("portal.signpost.test", "Signpost's own"),
        ("PORTAL.signpost.test.", "Signpost's own"),
        ("edge.signpost.test", "Signpost's own"),
        ("a.b.edge.signpost.test", "Signpost's own"),
        ("*.contoso.com", "wildcard"),
        ("_dmarc.contoso.com", "underscore"),
        (&long, "at most 253"),
        ("https://contoso.com", "without scheme"),
        ("contoso.com:443", "without scheme"),
        ("contoso.com/", "without scheme"),
        (" contoso.com", "can't be part"),
        ("contoso..com", "1 to 63"),
        ("-contoso.com", "not a valid"),
        ("xn--a.com", "not a valid"),
    ] {
        let answer = writes
            .msp
            .post("/domains", writes.domain(&json!({ "hostname": hostname })))
            .await;
        assert_eq!(answer.pointers(), ["/hostname"], "{hostname}");
        let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{hostname}: {detail}");
    }
    for hostname in ["signpost.test", "x.signpost.test", "notedge.signpost.test"] {
        let answer = writes
            .msp
            .post("/domains", writes.domain(&json!({ "hostname": hostname })))
            .await;
        assert_eq!(answer.status, 201, "{hostname}: {}", answer.text);
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_host_that_only_looks_like_a_vendors_is_refused_with_the_reason(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let writes = Writes::on(&app).await;
    for (vendor, name, value, looks_like) in [
        ("jamf_pro", "host", "acme.jamfcloud.com.com", "jamfcloud.com"),
        ("jamf_pro", "host", "acme.jamfcloud.com.evil.example", "jamfcloud.com"),
        ("jamf_pro", "host", "acme.jamfcluod.com", "jamfcloud.com"),
        ("fleet", "host", "acme.jamfcloud.co", "jamfcloud.com"),
        (
            "custom",
            "base_url",
            "https://manage.microsoft.com.evil.example/x",
            "microsoft.com",
        ),
    ] {
        let mut parameters = json!({});
        parameters[name] = json!(value);
        let mut server = json!({"vendor": vendor, "parameters": parameters});
        let nested = writes
            .msp
            .post("/domains", writes.domain(&json!({ "server": server })))
            .await;
        let pointer = format!("/parameters/{name}");
        assert_eq!(nested.pointers(), [format!("/server{pointer}")], "{value}");
        server["client_id"] = json!(writes.client);
        let answer = writes.msp.post("/mdm-servers", server).await;
        assert_eq!(answer.pointers(), [pointer], "{value}");
        let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(looks_like), "{value}: {detail}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn an_idempotency_key_is_printable_and_not_too_long(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    let post = |key: &str| {
        let headers = [("idempotency-key".to_owned(), key.to_owned())];
        async {
            let headers = headers;
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            msp.call_with("POST", "/clients", Some(json!({"name": "A"})), &headers)
                .await
        }
    };
    for key in ["", "é", &too_long] {
        post(key).await.problem(422, "invalid");
    }
    let first: Answer = post(&longest).await;
    assert_eq!(first.status, 201);
    assert_eq!(post(&longest).await.text, first.text);
    app.stop().await;
}

#[sqlx::test]
async fn a_body_that_does_not_come_holds_up_nobody_else(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    let client = format!("/clients/{}", domain["client_id"].as_str().unwrap());
    let server = format!(
        "/mdm-servers/{}",
        domain["policy"]["default"]["server_id"].as_str().unwrap()
    );
    let mut waiting = Vec::new();
    for path in [client.as_str(), &server, "/domains/contoso.com"]
        .iter()
        .cycle()
        .take(60)
    {
        let head = format!(
            "PATCH /api/v1{path} HTTP/1.1\r\nhost: portal.signpost.test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            msp.token
        );
        let mut stream = std::net::TcpStream::connect(app.http).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        waiting.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(app.msp("Other IT").await.get("/domains").await.status, 200);
    }
    assert_eq!(
        msp.patch("/domains/contoso.com", json!({"connection": "proxy"}))
            .await
            .status,
        200
    );
    drop(waiting);
    app.stop().await;
}
