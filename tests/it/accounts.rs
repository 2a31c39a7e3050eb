//! Tokens and what they may do, the audit log, and calls that are sent twice.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{PgPool, Row};

use crate::app::{Msp, TENANT, TestApp};

const SCOPES: [&str; 4] = ["domains:read", "domains:write", "requests:read", "organisation:admin"];

/// A program of the organisation, with a token of its own.
async fn with_scopes(app: &TestApp, msp: &Msp, scopes: &[&str]) -> Msp {
    let token = msp
        .post("/tokens", json!({"name": scopes.join(" "), "scopes": scopes}))
        .await;
    assert_eq!(token.status, 201, "{}", token.text);
    app.program(msp.organisation_id, token.json()["token"].as_str().unwrap())
}

#[sqlx::test]
async fn each_operation_asks_for_its_scope(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    let client = format!("/clients/{}", domain["client_id"].as_str().unwrap());
    let server = format!(
        "/mdm-servers/{}",
        domain["policy"]["default"]["server_id"].as_str().unwrap()
    );
    let never = uuid::Uuid::now_v7();
    let (token, member) = (format!("/tokens/{never}"), format!("/members/{never}"));
    let invitation = format!("/invitations/{never}");
    let resend = format!("{invitation}/resend");
    let any: &[&str] = &SCOPES;
    let read: &[&str] = &["domains:read", "domains:write"];
    let write: &[&str] = &["domains:write"];
    let requests: &[&str] = &["requests:read"];
    let admin: &[&str] = &["organisation:admin"];
    let table = [
        ("GET", "/me", any),
        ("GET", "/vendors", any),
        ("GET", "/clients", read),
        ("POST", "/clients", write),
        ("GET", &client, read),
        ("PATCH", &client, write),
        ("DELETE", &client, write),
        ("GET", "/mdm-servers", read),
        ("POST", "/mdm-servers", write),
        ("POST", "/mdm-servers/parse", read),
        ("GET", &server, read),
        ("PATCH", &server, write),
        ("DELETE", &server, write),
        ("GET", "/domains", read),
        ("POST", "/domains", write),
        ("POST", "/domains/import", write),
        ("GET", "/domains/contoso.com", read),
        ("PATCH", "/domains/contoso.com", write),
        ("GET", "/domains/contoso.com/preview", read),
        ("GET", "/domains/contoso.com/setup", read),
        ("GET", "/requests", requests),
        ("GET", "/requests/summary", requests),
        ("GET", "/tokens", admin),
        ("POST", "/tokens", admin),
        ("DELETE", &token, admin),
        ("GET", "/audit-events", admin),
        ("GET", "/members", admin),
        ("PATCH", &member, admin),
        ("DELETE", &member, admin),
        ("GET", "/invitations", admin),
        ("POST", "/invitations", admin),
        ("POST", &resend, admin),
        ("DELETE", &invitation, admin),
        ("GET", "/organisation", admin),
        ("PATCH", "/organisation", admin),
        ("PUT", "/organisation/logo", admin),
        ("DELETE", "/organisation/logo", admin),
        // Last: it takes away what the others look at.
        ("DELETE", "/domains/contoso.com", write),
    ];
    assert_eq!(table.len(), 38, "an operation is missing");
    let mut programs = Vec::new();
    for scope in SCOPES {
        programs.push((scope, with_scopes(&app, &msp, &[scope]).await));
    }
    for (method, path, allowed) in table {
        for (scope, program) in &programs {
            // The body is wrong: who is let in gets 422, or the answer if there is no body.
            let answer = program.call(method, path, Some(json!({"nonsense": 1}))).await;
            assert_eq!(
                answer.status != 403,
                allowed.contains(scope),
                "{method} {path} with {scope}: {}",
                answer.text
            );
            assert!(answer.status < 500, "{}", answer.text);
        }
    }
    let problem = programs[0]
        .1
        .post("/clients", json!({"name": "A"}))
        .await
        .problem(403, "forbidden");
    assert_eq!(problem["detail"], "this token lacks the scope `domains:write`");
    app.stop().await;
}

#[sqlx::test]
async fn a_token_is_shown_once_and_its_text_is_kept_nowhere(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let key = [("idempotency-key", "one")];
    let body = || {
        Some(
            json!({"name": "Nightly sync", "scopes": ["requests:read", "domains:read", "domains:read"], "expires_at": "2999-01-01T00:00:00Z"}),
        )
    };
    let made = msp.call_with("POST", "/tokens", body(), &key).await;
    let (made, again) = (made.json(), msp.call_with("POST", "/tokens", body(), &key).await);
    let text = made["token"].as_str().unwrap();
    assert!(text.starts_with("sgp_") && text.len() == 42, "{text}");
    assert_eq!(made["scopes"], json!(["domains:read", "requests:read"]));
    assert_eq!(
        (&made["name"], &made["client_id"], &made["last_used_at"]),
        (&json!("Nightly sync"), &Value::Null, &Value::Null)
    );
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        (again.status, again.json()),
        (201, made.clone()),
        "the same answer, with the token"
    );

    let list = msp.get("/tokens").await;
    assert_eq!(list.json()["data"].as_array().unwrap().len(), 2, "made once");
    let listed = list.json()["data"].as_array().unwrap().clone();
    assert!(!list.text.contains("sgp_") && listed.iter().all(|token| token.get("token").is_none()));
    let used = app.program(msp.organisation_id, text);
    assert_eq!(used.get("/me").await.json()["token"]["id"], made["id"]);
    let list = msp.get("/tokens").await.json();
    assert!(list["data"][1]["last_used_at"].is_string(), "{list}");
    assert_eq!(rows_that_hold(&app.pool, &text[4..36]).await, Vec::<String>::new());
    assert_eq!(
        rows_that_hold(&app.pool, "Nightly sync").await.len(),
        2,
        "the token and its audit event: the search finds"
    );
    app.stop().await;
}

/// The tables with a row that holds `text`, readable or as bytes.
async fn rows_that_hold(pool: &PgPool, text: &str) -> Vec<String> {
    let tables = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    let mut found = Vec::new();
    for table in sqlx::query(tables).fetch_all(pool).await.unwrap() {
        let table: String = table.get(0);
        let statement = format!(
            "select count(*) from {table} t where position($1 in t::text) > 0 or position(encode($1::bytea, 'hex') in t::text) > 0"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(text)
            .fetch_one(pool)
            .await
            .unwrap();
        found.extend((0..rows.get::<i64, _>(0)).map(|_| table.clone()));
    }
    found
}

#[sqlx::test]
async fn a_token_ends_when_it_expires_or_is_deleted_or_its_organisation_is_suspended(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let revoked = with_scopes(&app, &msp, &["domains:read"]).await;
    let expired = with_scopes(&app, &msp, &["domains:write"]).await;
    let id = revoked.get("/me").await.json()["token"]["id"].clone();
    assert_eq!(
        msp.delete(&format!("/tokens/{}", id.as_str().unwrap())).await.status,
        204
    );
    revoked.get("/me").await.problem(401, "unauthenticated");
    msp.delete(&format!("/tokens/{}", id.as_str().unwrap()))
        .await
        .problem(404, "not_found");

    assert_eq!(expired.get("/me").await.status, 200);
    sqlx::query("update api_tokens set expires_at = now() - interval '1 second' where name = 'domains:write'")
        .execute(&app.pool)
        .await
        .unwrap();
    expired.get("/me").await.problem(401, "unauthenticated");
    expired
        .post("/clients", json!({"name": "A"}))
        .await
        .problem(401, "unauthenticated");

    sqlx::query("update organisations set suspended_at = now()")
        .execute(&app.pool)
        .await
        .unwrap();
    msp.get("/me").await.problem(401, "unauthenticated");
    app.stop().await;
}

#[sqlx::test]
async fn a_token_of_one_client_can_not_administer_and_ends_with_its_client(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let client = msp.post("/clients", json!({"name": "Contoso"})).await.json()["id"].clone();
    let body = |scopes: &[&str]| json!({"name": "CI", "scopes": scopes, "client_id": client});
    let admin = msp.post("/tokens", body(&["organisation:admin"])).await;
    assert_eq!(admin.pointers(), ["/scopes"]);
    let token = msp.post("/tokens", body(&["domains:read"])).await.json();
    assert_eq!(token["client_id"], client);
    let limited = app.program(msp.organisation_id, token["token"].as_str().unwrap());
    assert_eq!(limited.get("/me").await.status, 200);
    assert_eq!(
        msp.delete(&format!("/clients/{}", client.as_str().unwrap()))
            .await
            .status,
        204
    );
    limited.get("/me").await.problem(401, "unauthenticated");
    app.stop().await;
}

#[sqlx::test]
async fn each_change_writes_one_event_with_its_actor_and_a_refused_one_none(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let me = msp.get("/me").await.json()["token"].clone();
    let mut seen = msp.get("/audit-events").await.json()["data"].as_array().unwrap().len();
    let first: Vec<Value> = msp.get("/audit-events").await.json()["data"]
        .as_array()
        .unwrap()
        .clone();
    let actions: Vec<_> = first
        .iter()
        .map(|event| (&event["action"], &event["actor"]["type"]))
        .collect();
    assert_eq!(
        actions,
        [
            (&json!("token.created"), &json!("operator")),
            (&json!("organisation.created"), &json!("operator"))
        ]
    );

    let client = msp.post("/clients", json!({"name": "Contoso"})).await.json();
    let at_client = format!("/clients/{}", client["id"].as_str().unwrap());
    let server = msp
        .post(
            "/mdm-servers",
            json!({"client_id": client["id"], "vendor": "intune", "parameters": {"tenant_id": TENANT}}),
        )
        .await
        .json();
    let at_server = format!("/mdm-servers/{}", server["id"].as_str().unwrap());
    let token = msp
        .post("/tokens", json!({"name": "CI", "scopes": ["domains:read"]}))
        .await
        .json();
    let at_token = format!("/tokens/{}", token["id"].as_str().unwrap());
    let domain = json!({"hostname": "contoso.com", "client_id": client["id"], "server_id": server["id"]});
    let both_new = json!({"hostname": "fabrikam.com", "client_name": "Fabrikam", "server": {"vendor": "intune", "parameters": {"tenant_id": TENANT}}});
    let newest = |count: usize| {
        let msp = &msp;
        async move {
            let events = msp.get("/audit-events?limit=100").await.json()["data"]
                .as_array()
                .unwrap()
                .clone();
            (events.len(), events.into_iter().take(count).collect::<Vec<_>>())
        }
    };
    let (count, events) = newest(3).await;
    assert_eq!(count, seen + 3);
    let actions: Vec<_> = events
        .iter()
        .rev()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["client.created", "mdm_server.created", "token.created"]);
    seen = count;
    for (method, path, body, expected) in [
        (
            "PATCH",
            at_client.as_str(),
            json!({"name": "Contoso Ltd."}),
            vec!["client.updated"],
        ),
        ("PATCH", &at_client, json!({"name": ""}), vec![]),
        ("PATCH", &at_server, json!({"name": "Main"}), vec!["mdm_server.updated"]),
        ("POST", "/domains", domain.clone(), vec!["domain.created"]),
        ("POST", "/domains", domain, vec![]),
        (
            "PATCH",
            "/domains/contoso.com",
            json!({"connection": "proxy"}),
            vec!["domain.updated"],
        ),
        ("DELETE", &at_server, Value::Null, vec![]),
        ("DELETE", &at_client, Value::Null, vec![]),
        ("DELETE", "/domains/contoso.com", Value::Null, vec!["domain.deleted"]),
        ("DELETE", &at_server, Value::Null, vec!["mdm_server.deleted"]),
        ("DELETE", &at_client, Value::Null, vec!["client.deleted"]),
        ("DELETE", &at_token, Value::Null, vec!["token.revoked"]),
        (
            "POST",
            "/domains",
            both_new.clone(),
            vec!["client.created", "mdm_server.created", "domain.created"],
        ),
        (
            "POST",
            "/domains/import",
            json!({"dry_run": true, "rows": [both_new]}),
            vec![],
        ),
        ("POST", "/mdm-servers/parse", json!({"document": "{}"}), vec![]),
        ("GET", "/domains", Value::Null, vec![]),
    ] {
        msp.call(method, path, Some(body)).await;
        let (count, events) = newest(expected.len()).await;
        let actions: Vec<_> = events
            .iter()
            .rev()
            .map(|event| event["action"].as_str().unwrap())
            .collect();
        assert_eq!((count - seen, actions), (expected.len(), expected), "{method} {path}");
        for event in events {
            assert_eq!(
                event["actor"],
                json!({"type": "token", "id": me["id"], "name": me["name"]}),
                "{method} {path}"
            );
            let subject = event["action"].as_str().unwrap().split('.').next().unwrap();
            assert_eq!(event["subject"]["type"], subject, "{event}");
        }
        seen = count;
    }
    let other = app.msp("Other IT").await;
    assert!(!other.get("/audit-events").await.text.contains("ontoso"));
    app.stop().await;
}

#[sqlx::test]
async fn a_call_that_is_sent_again_is_answered_again_and_done_once(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let send = |path: &'static str, body: Value, key: &'static str| {
        let msp = &msp;
        async move {
            msp.call_with("POST", path, Some(body), &[("idempotency-key", key)])
                .await
        }
    };
    let body = || json!({"name": "Contoso"});
    let first = send("/clients", body(), "one").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = send("/clients", body(), "one").await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (201, Some("true"))
    );
    assert_eq!(
        (again.header("content-type"), &again.text),
        (Some("application/json"), &first.text)
    );
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));

    send("/clients", json!({"name": "Other"}), "one")
        .await
        .problem(422, "invalid");
    send("/mdm-servers/parse", body(), "one").await.problem(422, "invalid");
    // A refusal is not kept: whoever mends the body may use the key again.
    send("/clients", body(), "two").await.problem(409, "conflict");
    assert_eq!(send("/clients", json!({"name": "Fabrikam"}), "two").await.status, 201);
    send("/clients", json!({"nome": "x"}), "three")
        .await
        .problem(422, "invalid");
    assert_eq!(
        send("/clients", json!({"name": "Woodgrove"}), "three").await.status,
        201
    );
    // Another token has its own keys.
    let other = with_scopes(&app, &msp, &["domains:write"]).await;
    let own = other
        .call_with(
            "POST",
            "/clients",
            Some(json!({"name": "Litware"})),
            &[("idempotency-key", "one")],
        )
        .await;
    assert_eq!((own.status, own.header("idempotency-replayed")), (201, None));
    // It is for POST; elsewhere it means nothing.
    let got = msp
        .call_with("GET", "/clients", None, &[("idempotency-key", "one")])
        .await;
    assert_eq!(got.json()["data"].as_array().unwrap().len(), 4);
    // After 24 hours the key is new.
    sqlx::query("update idempotency_keys set created_at = now() - interval '25 hours'")
        .execute(&app.pool)
        .await
        .unwrap();
    send("/clients", body(), "one").await.problem(409, "conflict");
    app.stop().await;
}

#[sqlx::test]
async fn calls_with_one_key_at_the_same_moment_are_done_once(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let send = || {
        msp.call_with(
            "POST",
            "/tokens",
            Some(json!({"name": "CI", "scopes": ["domains:read"]})),
            &[("idempotency-key", "one")],
        )
    };
    let answers = futures_util::future::join_all((0..10).map(|_| send())).await;
    let texts: BTreeSet<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| &answer.text)
        .collect();
    assert_eq!(texts.len(), 1, "one token");
    let busy = answers.iter().filter(|answer| answer.status != 201);
    busy.for_each(|answer| drop(answer.problem(409, "conflict")));
    assert_eq!(msp.get("/tokens").await.json()["data"].as_array().unwrap().len(), 2);
    app.stop().await;
}

#[sqlx::test]
async fn audit_events_are_found_by_what_who_which_and_when(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (msp, other) = (app.msp("Acme IT").await, app.msp("Other IT").await);
    let domain = msp.register("contoso.com").await;
    msp.register("fabrikam.com").await;
    other.register("contoso.com").await;
    msp.post("/domains/contoso.com/share-links", json!({})).await;
    app.take_word("fabrikam.com").await;
    sqlx::query("update audit_events set at = '2026-03-01T12:00:00Z' where subject_name = 'contoso.com' and action = 'domain.created'")
        .execute(&pool)
        .await
        .unwrap();
    let found = async |query: &str| {
        let answer = msp.get(&format!("/audit-events?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let of = |event: &Value| {
            format!(
                "{} {}",
                event["action"].as_str().unwrap(),
                event["subject"]["name"].as_str().unwrap()
            )
        };
        let mut found: Vec<_> = answer.json()["data"].as_array().unwrap().iter().map(of).collect();
        found.sort();
        found.join(", ")
    };
    let token = msp.get("/me").await.json()["token"]["id"].as_str().unwrap().to_owned();
    let (contoso, link) = ("domain.created contoso.com", "share_link.created contoso.com");
    let fabrikam = "domain.created fabrikam.com, domain.verified_by_operator fabrikam.com";
    let id = domain["id"].as_str().unwrap();
    for (query, expected) in [
        ("action=domain", format!("{contoso}, {fabrikam}")),
        (
            "action=domain.created&domain=fabrikam.com",
            "domain.created fabrikam.com".into(),
        ),
        ("action=dom", String::new()),
        (&format!("domain={id}"), format!("{contoso}, {link}")),
        ("domain=CONTOSO.com.", format!("{contoso}, {link}")),
        (
            "actor=operator&action=domain",
            "domain.verified_by_operator fabrikam.com".into(),
        ),
        (
            &format!("actor={token}&domain=fabrikam.com"),
            "domain.created fabrikam.com".into(),
        ),
        ("until=2026-04-01T00:00:00Z", contoso.into()),
        ("since=2026-03-01T12:00:00Z&until=2026-03-01T12:00:01Z", contoso.into()),
        ("until=2026-03-01T12:00:00Z", String::new()),
        ("since=2026-04-01T00:00:00Z&domain=contoso.com", link.into()),
        ("domain=nobody.example", String::new()),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    let first = msp.get("/audit-events?action=domain&limit=2").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = msp
        .get(&format!("/audit-events?action=domain&limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), &rest["next_cursor"]),
        (1, &Value::Null)
    );
    for (query, parameter) in [
        ("action=", "?action"),
        ("action=x%00", "?action"),
        ("action=Domain", "?action"),
        ("actor=ada", "?actor"),
        ("domain=no%20name", "?domain"),
        ("since=yesterday", "?since"),
        ("by=operator", "?by"),
    ] {
        let answer = msp.get(&format!("/audit-events?{query}")).await;
        assert_eq!(answer.pointers(), [parameter], "{query}");
    }
    app.stop().await;
}
