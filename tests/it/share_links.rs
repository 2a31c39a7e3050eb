//! Links that show one domain to somebody without an account.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Msp, TestApp, eventually},
    binary::Machine,
    canary,
    faults::dns::{TestDns, a},
};

/// What a program without a token gets from the portal.
async fn open(app: &TestApp, method: &str, path: &str) -> Answer {
    ask(app, "portal.signpost.test", method, path).await
}

async fn ask(app: &TestApp, host: &str, method: &str, path: &str) -> Answer {
    let url = format!("http://{}{path}", app.http);
    let request = reqwest::Client::new()
        .request(method.parse().unwrap(), url)
        .header("host", host);
    Answer::of(request.send().await.unwrap()).await
}

/// Makes a link; the path of its JSON, and its id.
async fn link(msp: &Msp, domain: &str, body: Value) -> (String, String) {
    let made = msp.post(&format!("/domains/{domain}/share-links"), body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let path = made["json_url"].as_str().unwrap().split_at("http://".len()).1;
    let path = path.split_at(path.find('/').unwrap()).1;
    (path.to_owned(), made["id"].as_str().unwrap().to_owned())
}

/// `a.b[].c` for every member of `value`.
fn keys(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        keys(value, &at, found);
        found.insert(at);
    }
    for value in value.as_array().into_iter().flatten() {
        keys(value, &format!("{at}[]"), found);
    }
}

#[sqlx::test]
async fn whoever_has_the_link_sees_this_domain_and_nothing_else(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("people.example.net").await;
    let made = msp
        .post("/domains/people.example.net/share-links", json!({"expires_in_days": 7}))
        .await
        .json();
    let portal = format!("http://portal.signpost.test:{}/share/sgs_", app.http.port());
    let (url, json_url) = (made["url"].as_str().unwrap(), made["json_url"].as_str().unwrap());
    assert!(url.starts_with(&portal) && url.len() == portal.len() + 32, "{url}");
    assert_eq!(json_url, format!("{url}.json"));
    let at = |name: &str| {
        made[name]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    assert_eq!(at("expires_at") - at("created_at"), chrono::TimeDelta::days(7));

    let path = &json_url[json_url.find("/share/").unwrap()..];
    let shown = open(&app, "GET", path).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    for (header, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(shown.header(header), Some(value), "{header}");
    }
    let body = shown.json();
    for name in ["hostname", "connection", "status", "next_action", "ownership", "dns"] {
        assert_eq!(body[name], domain[name], "{name}");
    }
    assert_eq!(body["certificate"], json!({"state": "none", "not_after": null}));
    assert_eq!(body["expires_at"], made["expires_at"]);
    let mut found = BTreeSet::new();
    keys(&body, "", &mut found);
    let expected = [
        ".certificate",
        ".certificate.not_after",
        ".certificate.state",
        ".connection",
        ".dns",
        ".dns.checked_at",
        ".dns.ok",
        ".dns.records",
        ".dns.records[].expected",
        ".dns.records[].name",
        ".dns.records[].observed",
        ".dns.records[].ok",
        ".dns.records[].type",
        ".expires_at",
        ".hostname",
        ".next_action",
        ".next_action.actor",
        ".next_action.cause",
        ".next_action.code",
        ".next_action.message",
        ".ownership",
        ".ownership.checked_at",
        ".ownership.record",
        ".ownership.record.name",
        ".ownership.record.observed",
        ".ownership.record.type",
        ".ownership.record.value",
        ".ownership.verified_at",
        ".setup",
        ".setup.connection",
        ".setup.hostname",
        ".setup.records",
        ".setup.records[].name",
        ".setup.records[].purpose",
        ".setup.records[].type",
        ".setup.records[].value",
        ".setup.snippets",
        ".setup.target",
        ".status",
    ];
    assert_eq!(found, expected.map(ToOwned::to_owned).into());
    for secret in [
        &domain["id"],
        &domain["client_id"],
        &domain["policy"]["default"]["server_id"],
        &made["id"],
        &json!(msp.organisation_id),
        &json!(crate::app::TENANT),
        &json!("Contoso"),
        &json!("Acme IT"),
        &json!("Intune"),
    ] {
        assert!(
            !shown.text.contains(secret.as_str().unwrap()),
            "{secret}: {}",
            shown.text
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_state_is_live_and_only_the_portal_shows_it(pool: PgPool) {
    let dns = TestDns::start(&[a("people.test", "127.0.0.1")]);
    let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let msp = app.msp("Acme IT").await;
    msp.register("people.test").await;
    let (path, _) = link(&msp, "people.test", json!({})).await;
    assert_eq!(open(&app, "GET", &path).await.json()["status"], "pending_ownership");
    app.verify("people.test").await;
    eventually(|| async { open(&app, "GET", &path).await.json()["status"] == "active" }).await;
    let body = open(&app, "GET", &path).await.json();
    assert_eq!(
        (&body["next_action"], &body["certificate"]["state"]),
        (&json!(null), &json!("valid"))
    );

    let head = open(&app, "HEAD", &path).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("x-robots-tag"), Some("noindex"));
    open(&app, "POST", &path).await.problem(405, "method_not_allowed");
    for host in ["people.test", "edge.signpost.test", "other.example"] {
        let answer = ask(&app, host, "GET", &path).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, ""), "{host}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_link_that_shows_nothing_does_not_say_why(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for hostname in ["people.example.net", "gone.example.net"] {
        msp.register(hostname).await;
    }
    let (revoked, id) = link(&msp, "people.example.net", json!({})).await;
    let (expired, expired_id) = link(&msp, "people.example.net", json!({})).await;
    let (of_deleted, _) = link(&msp, "gone.example.net", json!({})).await;
    let (fine, _) = link(&msp, "people.example.net", json!({})).await;
    let answer = msp
        .delete(&format!("/domains/people.example.net/share-links/{id}"))
        .await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    sqlx::query("update share_links set expires_at = now() where share_link_id = $1::uuid")
        .bind(expired_id)
        .execute(&app.pool)
        .await
        .unwrap();
    msp.delete("/domains/gone.example.net").await;
    let unknown = format!("/share/sgs_{}.json", "a".repeat(32));
    let upper_case = fine
        .to_uppercase()
        .replace("/SHARE/SGS_", "/share/sgs_")
        .replace(".JSON", ".json");
    let mut told = BTreeSet::new();
    for path in [
        &revoked,
        &expired,
        &of_deleted,
        &unknown,
        &upper_case,
        "/share/.json",
        "/share/x.json",
        "/share/sgs_.json",
        "/share/%00.json",
        "/share/%ff.json",
        "/share/a/b.json",
        &format!("/share/{}.json", msp.token),
        &format!("/share/sgs_{}.json", "a".repeat(8000)),
    ] {
        let answer = open(&app, "GET", path).await;
        let mut problem = answer.problem(404, "not_found");
        for header in ["x-robots-tag", "referrer-policy", "cache-control"] {
            assert!(answer.header(header).is_some(), "{path}: {header}");
        }
        problem["request_id"] = json!(null);
        told.insert(problem.to_string());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(open(&app, "GET", &fine).await.status, 200);
    app.suspend(&msp).await;
    let mut problem = open(&app, "GET", &fine).await.problem(404, "not_found");
    problem["request_id"] = json!(null);
    assert!(told.contains(&problem.to_string()), "{problem}");
    app.resume(&msp).await;
    assert_eq!(open(&app, "GET", &fine).await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_has_at_most_twenty_links_in_force(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for hostname in ["people.example.net", "other.example.net"] {
        msp.register(hostname).await;
    }
    let path = "/domains/people.example.net/share-links";
    let mut links = Vec::new();
    for _ in 0..20 {
        links.push(link(&msp, "people.example.net", json!({})).await);
    }
    msp.post(path, json!({})).await.problem(409, "conflict");
    link(&msp, "other.example.net", json!({})).await;
    let list = msp.get(path).await.json();
    let listed: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| &link["id"])
        .collect();
    assert_eq!(listed, links.iter().map(|(_, id)| id).collect::<Vec<_>>());
    let names: Vec<_> = list["data"][0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["created_at", "expires_at", "id"], "the URL is shown once");

    let page = msp.get(&format!("{path}?limit=15")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = msp.get(&format!("{path}?limit=15&cursor={cursor}")).await.json();
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), &rest["next_cursor"]),
        (5, &json!(null))
    );

    sqlx::query("update share_links set expires_at = now() where share_link_id = $1::uuid")
        .bind(&links[3].1)
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(msp.get(path).await.json()["data"].as_array().unwrap().len(), 19);
    link(&msp, "people.example.net", json!({})).await;
    msp.post(path, json!({})).await.problem(409, "conflict");
    app.stop().await;
}

#[sqlx::test]
async fn a_link_lives_for_one_to_ninety_days(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("people.example.net").await;
    let path = "/domains/people.example.net/share-links";
    for days in [
        json!(0),
        json!(91),
        json!(-1),
        json!(300_000_000_000_i64),
        json!("30"),
        json!(1.5),
    ] {
        let answer = msp.post(path, json!({"expires_in_days": days})).await;
        assert_eq!(answer.pointers(), ["/expires_in_days"], "{days}");
    }
    assert_eq!(
        msp.post(path, json!({"expires_at": null})).await.pointers(),
        ["/expires_at"]
    );
    for (body, days) in [
        (json!({}), 30),
        (json!({"expires_in_days": null}), 30),
        (json!({"expires_in_days": 1}), 1),
        (json!({"expires_in_days": 90}), 90),
    ] {
        let made = msp.post(path, body).await.json();
        let at = |name: &str| {
            made[name]
                .as_str()
                .unwrap()
                .parse::<chrono::DateTime<chrono::Utc>>()
                .unwrap()
        };
        assert_eq!((at("expires_at") - at("created_at")).num_days(), days);
    }
    app.stop().await;
}

#[sqlx::test]
async fn nobody_makes_sees_or_revokes_the_links_of_another(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("people.example.net").await;
    let (path, id) = link(&msp, "people.example.net", json!({})).await;
    let stranger = app.msp("Other IT").await;
    stranger.register("stranger.example.net").await;
    let fabrikam =
        json!({"hostname": "fabrikam.example", "client_name": "Fabrikam", "policy": {"default": {"action": "defer"}}});
    let fabrikam = msp.post("/domains", fabrikam).await.json();
    let scopes = json!({"name": "F", "scopes": ["domains:write"], "client_id": fabrikam["client_id"]});
    let token = msp.post("/tokens", scopes).await.json();
    let limited = app.program(msp.organisation_id, token["token"].as_str().unwrap());
    for (who, own) in [(&stranger, "stranger.example.net"), (&limited, "fabrikam.example")] {
        for domain in ["people.example.net", own] {
            who.delete(&format!("/domains/{domain}/share-links/{id}"))
                .await
                .problem(404, "not_found");
        }
        let links = "/domains/people.example.net/share-links";
        who.get(links).await.problem(404, "not_found");
        who.post(links, json!({})).await.problem(404, "not_found");
        let own = who.get(&format!("/domains/{own}/share-links")).await.json();
        assert_eq!(own["data"], json!([]));
    }
    // Through another domain of one's own, it is not there either.
    let elsewhere = msp.delete(&format!("/domains/fabrikam.example/share-links/{id}")).await;
    elsewhere.problem(404, "not_found");
    let reader = msp
        .post("/tokens", json!({"name": "R", "scopes": ["domains:read"]}))
        .await
        .json();
    let reader = app.program(msp.organisation_id, reader["token"].as_str().unwrap());
    assert_eq!(reader.get("/domains/people.example.net/share-links").await.status, 200);
    let made = reader.post("/domains/people.example.net/share-links", json!({})).await;
    made.problem(403, "forbidden");
    assert_eq!(open(&app, "GET", &path).await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn making_and_revoking_a_link_is_written_down(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("people.example.net").await;
    let (path, id) = link(&msp, "people.example.net", json!({})).await;
    msp.delete(&format!("/domains/people.example.net/share-links/{id}"))
        .await;
    msp.delete(&format!("/domains/people.example.net/share-links/{id}"))
        .await
        .problem(404, "not_found");
    let events = msp.get("/audit-events?limit=2").await.json();
    let subject = json!({"type": "share_link", "id": id, "name": "people.example.net"});
    for (event, action) in events["data"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["share_link.revoked", "share_link.created"])
    {
        assert_eq!((&event["action"], &event["subject"]), (&json!(action), &subject));
        assert!(
            !event
                .to_string()
                .contains(path.trim_start_matches("/share/").trim_end_matches(".json"))
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_token_of_a_link_stands_in_no_output_and_no_table(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.set("SIGNPOST_LOG", "trace");
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    msp.register("people.example.net").await;
    let key = [("idempotency-key", "once")];
    let links = "/domains/people.example.net/share-links";
    let made = msp.call_with("POST", links, Some(json!({})), &key).await.json();
    let again = msp.call_with("POST", links, Some(json!({})), &key).await;
    assert_eq!(
        (again.header("idempotency-replayed"), &again.json()["url"]),
        (Some("true"), &made["url"])
    );
    let url = made["json_url"].as_str().unwrap();
    let path = &url[url.find("/share/").unwrap()..];
    let token = path.trim_start_matches("/share/").trim_end_matches(".json");
    for (path, status) in [
        (path.to_owned(), 200),
        (path.trim_end_matches(".json").to_owned(), 200),
        (format!("{path}?x={token}"), 200),
        (format!("/share/x{token}.json"), 404),
    ] {
        let url = format!("http://{}{path}", serving.http);
        let request = reqwest::Client::new().get(url).header("host", "portal.signpost.test");
        assert_eq!(request.send().await.unwrap().status(), status, "{path}");
    }
    let output = serving.output.clone();
    assert!(serving.terminate().0.success());
    let lines = output.lines();
    assert!(lines.iter().any(|line| line.contains("/share/")), "the route is named");
    for line in lines {
        assert!(!line.contains(token), "{line}");
    }
    for table in canary::tables(&pool).await {
        for row in canary::rows(&pool, &table).await {
            assert!(!row.contains(token), "{table}: {row}");
        }
    }
}
