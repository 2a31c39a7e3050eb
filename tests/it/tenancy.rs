//! Two organisations with everything alike, and a token that is limited to one client: nobody sees, changes, deletes
//! or names what is another's. What is in a path or is a `client_id` is a 404; a server that a body names, and the
//! client of a new token, is a 422; a filter finds nothing. All of it as if the thing had never been.
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::app::{Answer, Msp, TENANT, TestApp, eventually};

const LISTS: [&str; 9] = [
    "/clients",
    "/mdm-servers",
    "/domains",
    "/requests",
    "/tokens",
    "/members",
    "/invitations",
    "/webhook-endpoints",
    "/audit-events",
];

const OTHER_TENANT: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";

/// One organisation with one of each.
struct Tenant {
    msp: Msp,
    client: String,
    server: String,
    token: String,
    webhook: String,
    hostname: &'static str,
    domain: String,
    member: String,
    invitation: String,
}

impl Tenant {
    async fn new(app: &TestApp, hostname: &'static str) -> Self {
        let msp = app.msp("Acme IT").await;
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        let client = msp
            .post("/clients", json!({"name": "Contoso", "external_ref": "PSA-1"}))
            .await;
        assert_eq!(client.status, 201, "{}", client.text);
        let domain = msp.register(hostname).await;
        let token = msp
            .post("/tokens", json!({"name": "CI", "scopes": ["domains:write"]}))
            .await;
        let invitation = json!({"email": format!("new@{hostname}"), "role": "viewer"});
        let invitation = msp.post("/invitations", invitation).await;
        let members = msp.get("/members").await.json();
        // Of what does not happen here.
        let webhook = json!({"url": "https://hooks.acme.example/", "events": ["certificate.failed"]});
        let webhook = msp.post("/webhook-endpoints", webhook).await;
        app.verify(hostname).await;
        app.ask(hostname, "?user-identifier=ada@contoso.com&model-family=iPhone")
            .await;
        eventually(|| async { msp.get("/requests").await.json()["data"] != json!([]) }).await;
        Self {
            client: id(&domain["client_id"]),
            server: id(&domain["policy"]["default"]["server_id"]),
            domain: id(&domain["id"]),
            token: id(&token.json()["id"]),
            member: id(&members["data"][0]["id"]),
            invitation: id(&invitation.json()["id"]),
            webhook: id(&webhook.json()["id"]),
            msp,
            hostname,
        }
    }

    fn ids(&self) -> [&String; 7] {
        [
            &self.client,
            &self.server,
            &self.token,
            &self.domain,
            &self.member,
            &self.invitation,
            &self.webhook,
        ]
    }

    /// Everything that it can see, but for when its tokens were used.
    async fn all(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in LISTS.into_iter().filter(|path| *path != "/tokens") {
            all.push(self.msp.get(path).await.json());
        }
        all.push(
            self.msp
                .get("/requests/summary?group_by=domain,model_family")
                .await
                .json(),
        );
        all
    }
}

/// Status, code and pointers: all that a stranger may learn.
fn told(answer: &Answer) -> (u16, Value, Vec<Value>) {
    let problem = answer.json();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let pointers = errors.iter().map(|error| error["pointer"].clone()).collect();
    (answer.status, problem["code"].clone(), pointers)
}

#[sqlx::test]
async fn a_list_an_export_and_a_filter_show_ones_own_only(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let first = Tenant::new(&app, "first.example.com").await;
    let second = Tenant::new(&app, "second.example.com").await;
    for (mine, other) in [(&first, &second), (&second, &first)] {
        let mut seen = String::new();
        for path in LISTS {
            let answer = mine.msp.get(path).await;
            assert_ne!(answer.json()["data"], json!([]), "{path}");
            seen += &answer.text;
        }
        for accept in ["text/csv", "application/x-ndjson"] {
            seen += &mine
                .msp
                .call_with("GET", "/requests", None, &[("accept", accept)])
                .await
                .text;
        }
        seen += &mine.msp.get("/requests/summary?group_by=domain").await.text;
        assert!(mine.ids().into_iter().all(|id| seen.contains(id)) && seen.contains(mine.hostname));
        let leaked = other.ids().into_iter().filter(|id| seen.contains(*id));
        assert_eq!(leaked.count(), 0);
        assert!(!seen.contains(other.hostname) && !seen.contains(&other.msp.organisation_id.to_string()));
        for path in [
            format!("/domains?client_id={}", other.client),
            format!("/domains?q={}", other.hostname),
            format!("/mdm-servers?client_id={}", other.client),
            format!("/requests?client_id={}", other.client),
            format!("/requests?domain={}", other.hostname),
            format!("/requests?domain={}", other.domain),
        ] {
            assert_eq!(
                mine.msp.get(&path).await.json(),
                json!({"data": [], "next_cursor": null}),
                "{path}"
            );
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_cursor_of_another_opens_ones_own_list_only(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let first = Tenant::new(&app, "first.example.com").await;
    let second = Tenant::new(&app, "second.example.com").await;
    for hostname in ["b.example.com", "c.example.com"] {
        first.msp.register(hostname).await;
    }
    let cursor = first.msp.get("/domains?limit=1").await.json()["next_cursor"].clone();
    let page = second
        .msp
        .get(&format!("/domains?cursor={}", cursor.as_str().unwrap()))
        .await
        .json();
    let hostnames: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|domain| &domain["hostname"])
        .collect();
    assert_eq!(hostnames, ["second.example.com"]);
    app.stop().await;
}

#[sqlx::test]
async fn what_a_body_names_of_another_is_answered_as_what_never_was(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let first = Tenant::new(&app, "first.example.com").await;
    let second = Tenant::new(&app, "second.example.com").await;
    let before = first.all().await;
    let parameters = json!({"tenant_id": TENANT});
    let requests = |client: &str, server: &str| {
        let own = &second.client;
        let serve = json!({"action": "serve", "server_id": server});
        let rules = json!([{"when": {"users": ["*"]}, "then": serve}]);
        [
            (
                "POST",
                "/mdm-servers",
                json!({"client_id": client, "vendor": "intune", "parameters": parameters}),
                (404, "not_found", vec![]),
            ),
            (
                "POST",
                "/domains",
                json!({"hostname": "new.example.com", "client_id": client, "server": {"vendor": "intune", "parameters": parameters}}),
                (404, "not_found", vec![]),
            ),
            (
                "POST",
                "/domains",
                json!({"hostname": "new.example.com", "client_id": client, "server_id": server}),
                (404, "not_found", vec![]),
            ),
            (
                "POST",
                "/domains",
                json!({"hostname": "new.example.com", "client_id": own, "server_id": server}),
                (422, "invalid", vec!["/server_id"]),
            ),
            (
                "POST",
                "/domains",
                json!({"hostname": "new.example.com", "client_id": own, "policy": {"default": serve}}),
                (422, "invalid", vec!["/policy"]),
            ),
            (
                "POST",
                "/domains",
                json!({"hostname": "new.example.com", "client_id": own, "policy": {"default": {"action": "defer"}, "rules": rules}}),
                (422, "invalid", vec!["/policy"]),
            ),
            (
                "PATCH",
                "/domains/second.example.com",
                json!({"policy": {"default": serve}}),
                (422, "invalid", vec!["/policy"]),
            ),
            (
                "PATCH",
                "/domains/second.example.com",
                json!({"policy": {"default": {"action": "defer"}, "rules": rules}}),
                (422, "invalid", vec!["/policy"]),
            ),
            (
                "POST",
                "/tokens",
                json!({"name": "CI", "scopes": ["domains:read"], "client_id": client}),
                (422, "invalid", vec!["/client_id"]),
            ),
            (
                "POST",
                "/invitations",
                json!({"email": "other@example.com", "role": "viewer", "client_id": client}),
                (422, "invalid", vec!["/client_id"]),
            ),
            (
                "POST",
                "/domains/import",
                json!({"rows": [{"hostname": "new.example.com", "client_id": client, "server": {"vendor": "intune", "parameters": parameters}}]}),
                (422, "invalid", vec!["/rows/0"]),
            ),
            (
                "POST",
                "/domains/import",
                json!({"rows": [{"hostname": "new.example.com", "client_id": own, "server_id": server}]}),
                (422, "invalid", vec!["/rows/0/server_id"]),
            ),
        ]
    };
    let never = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    for (client, server) in [(&first.client, &first.server), (&never.0, &never.1)] {
        for (method, path, body, (status, code, pointers)) in requests(client, server) {
            let answer = second.msp.call(method, path, Some(body.clone())).await;
            let pointers = pointers.into_iter().map(Value::from).collect();
            assert_eq!(told(&answer), (status, json!(code), pointers), "{method} {path} {body}");
        }
    }
    assert_eq!(first.all().await, before);
    let own = second.msp.get("/domains").await.json();
    assert_eq!(own["data"].as_array().unwrap().len(), 1, "nothing half-made stays");
    assert_eq!(own["data"][0]["policy"]["default"]["server_id"], second.server);
    app.stop().await;
}

#[sqlx::test]
async fn a_hostname_that_another_holds_may_be_claimed_and_nothing_is_told_of_the_holder(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let first = Tenant::new(&app, "first.example.com").await;
    let second = Tenant::new(&app, "second.example.com").await;
    app.verify("first.example.com").await;
    let body = json!({"hostname": "FIRST.example.com.", "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {"tenant_id": OTHER_TENANT}}});
    let claim = second.msp.post("/domains", body.clone()).await;
    assert_eq!(claim.status, 201, "{}", claim.text);
    assert_eq!(claim.json()["status"], "pending_ownership");
    assert_eq!(
        claim.json()["certificate"]["state"],
        "none",
        "the holder's is not shown"
    );
    let own = first.msp.get("/domains/first.example.com").await;
    assert_ne!(
        own.json()["ownership"]["record"]["value"],
        claim.json()["ownership"]["record"]["value"]
    );
    assert_eq!(
        own.json()["status"],
        "pending_dns",
        "a claim without proof is nobody's concern"
    );
    assert!(!app.ask("first.example.com", "").await.text.contains(OTHER_TENANT));
    second
        .msp
        .post("/domains", body.clone())
        .await
        .problem(409, "hostname_taken");
    let import = second
        .msp
        .post("/domains/import", json!({"rows": [body], "partial": true}))
        .await
        .json();
    assert_eq!(import["data"][0]["code"], "hostname_taken");
    for secret in first.ids() {
        assert!(!format!("{import}{}", claim.text).contains(secret.as_str()));
    }
    app.stop().await;
}

#[sqlx::test]
async fn names_references_and_keys_are_free_for_each_organisation(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let first = Tenant::new(&app, "first.example.com").await;
    let second = Tenant::new(&app, "second.example.com").await;
    assert_ne!(first.client, second.client, "each has its own client called Contoso");
    assert_ne!(first.server, second.server);
    let body = || Some(json!({"name": "Fabrikam", "external_ref": "PSA-2"}));
    let key = [("idempotency-key", "the-same")];
    let one = first.msp.call_with("POST", "/clients", body(), &key).await;
    let other = second.msp.call_with("POST", "/clients", body(), &key).await;
    assert_eq!((one.status, other.status), (201, 201));
    assert!(other.header("idempotency-replayed").is_none());
    assert_ne!(one.json()["id"], other.json()["id"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_client_can_not_use_the_server_of_another_client(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let tenant = Tenant::new(&app, "first.example.com").await;
    let body = json!({"hostname": "new.example.com", "client_name": "Fabrikam", "server_id": tenant.server});
    assert_eq!(tenant.msp.post("/domains", body).await.pointers(), ["/server_id"]);
    let clients = tenant.msp.get("/clients").await.json();
    assert_eq!(
        clients["data"].as_array().unwrap().len(),
        1,
        "the client is not made either"
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_token_that_is_limited_to_a_client_sees_and_changes_that_client_only(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let tenant = Tenant::new(&app, "first.example.com").await;
    let fabrikam = tenant
        .msp
        .post("/domains", json!({"hostname": "fabrikam.example", "client_name": "Fabrikam", "server": {"vendor": "intune", "parameters": {"tenant_id": TENANT}}}))
        .await
        .json();
    let client = fabrikam["client_id"].as_str().unwrap();
    let scopes = json!(["domains:read", "domains:write", "requests:read"]);
    let token = tenant
        .msp
        .post(
            "/tokens",
            json!({"name": "Fabrikam", "scopes": scopes, "client_id": client}),
        )
        .await;
    let limited = app.program(tenant.msp.organisation_id, token.json()["token"].as_str().unwrap());
    assert_eq!(limited.get("/me").await.json()["token"]["client_id"], client);

    let before = tenant.all().await;
    for (path, name, only) in [
        ("/clients", "id", json!([client])),
        ("/mdm-servers", "client_id", json!([client])),
        ("/domains", "client_id", json!([client])),
        ("/requests", "id", json!([])),
    ] {
        let list = limited.get(path).await.json();
        let found: Vec<_> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[name].clone())
            .collect();
        assert_eq!(json!(found), only, "{path}");
    }
    assert_eq!(limited.get("/requests/summary").await.json(), json!({"data": []}));
    let tenant_id = json!({"tenant_id": TENANT});
    for (method, path, body) in [
        ("GET", format!("/clients/{}", tenant.client), Value::Null),
        ("PATCH", format!("/clients/{}", tenant.client), json!({"name": "x"})),
        ("DELETE", format!("/clients/{}", tenant.client), Value::Null),
        ("GET", format!("/mdm-servers/{}", tenant.server), Value::Null),
        ("PATCH", format!("/mdm-servers/{}", tenant.server), json!({"name": "x"})),
        ("DELETE", format!("/mdm-servers/{}", tenant.server), Value::Null),
        ("GET", format!("/domains/{}", tenant.domain), Value::Null),
        ("GET", "/domains/first.example.com".into(), Value::Null),
        (
            "PATCH",
            "/domains/first.example.com".into(),
            json!({"connection": "proxy"}),
        ),
        ("DELETE", "/domains/first.example.com".into(), Value::Null),
        ("GET", "/domains/first.example.com/preview".into(), Value::Null),
        ("GET", "/domains/first.example.com/setup".into(), Value::Null),
        (
            "POST",
            "/mdm-servers".into(),
            json!({"client_id": tenant.client, "vendor": "intune", "parameters": tenant_id}),
        ),
        (
            "POST",
            "/domains".into(),
            json!({"hostname": "new.example.com", "client_id": tenant.client, "server_id": tenant.server}),
        ),
    ] {
        let answer = limited.call(method, &path, Some(body)).await;
        assert_eq!(told(&answer), (404, json!("not_found"), vec![]), "{method} {path}");
    }
    // Whether another client has this name is not told: a new one is forbidden as well.
    for name in ["Contoso", "Never heard of"] {
        let body =
            json!({"hostname": "new.example.com", "client_name": name, "policy": {"default": {"action": "defer"}}});
        limited.post("/domains", body).await.problem(403, "forbidden");
        limited
            .post("/clients", json!({"name": name}))
            .await
            .problem(403, "forbidden");
        limited
            .patch(&format!("/clients/{client}"), json!({"name": name}))
            .await
            .problem(403, "forbidden");
    }
    for reference in ["PSA-1", "PSA-9"] {
        let path = format!("/clients/{client}");
        limited
            .patch(&path, json!({"external_ref": reference}))
            .await
            .problem(403, "forbidden");
    }
    limited
        .delete(&format!("/clients/{client}"))
        .await
        .problem(403, "forbidden");
    assert_eq!(tenant.all().await, before);

    let own = json!({"hostname": "new.fabrikam.example", "client_name": "fabrikam", "server": {"vendor": "intune", "parameters": tenant_id}});
    let made = limited.post("/domains", own).await;
    assert_eq!(
        (made.status, &made.json()["client_id"]),
        (201, &json!(client)),
        "{}",
        made.text
    );
    app.stop().await;
}
