//! Every operation of the OpenAPI document, called by nobody, by a stranger, and with a wrong method.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::app::{JSON, Msp, TestApp, raw};

const OPERATIONS: usize = 59;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

struct Operation {
    method: String,
    /// Below `/api/v1`, with the names of its parameters.
    path: String,
    description: Value,
}

impl Operation {
    fn all() -> Vec<Self> {
        let document: Value = serde_json::from_str(signpost::api::openapi::json()).unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let path = path.strip_prefix("/api/v1").unwrap().to_owned();
            let operation = |(method, description): (&String, &Value)| Self {
                method: method.to_uppercase(),
                path: path.clone(),
                description: description.clone(),
            };
            item.as_object().unwrap().iter().map(operation).collect::<Vec<_>>()
        };
        document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(of_path)
            .collect()
    }

    fn has_id(&self) -> bool {
        self.path.contains('{')
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What the first organisation has, so that a path can name it.
struct Owned {
    client: String,
    server: String,
    token: String,
    domain: String,
    link: String,
    member: String,
    invitation: String,
    webhook: String,
    delivery: String,
}

impl Owned {
    async fn by(msp: &Msp) -> Self {
        let domain = msp.register("contoso.com").await;
        let token = msp
            .post("/tokens", json!({"name": "CI", "scopes": ["domains:read"]}))
            .await;
        let link = msp.post("/domains/contoso.com/share-links", json!({})).await;
        let invitation = json!({"email": "new@contoso.com", "role": "viewer"});
        let invitation = msp.post("/invitations", invitation).await;
        let webhook = json!({"url": "https://hooks.acme.example/", "events": ["certificate.issued"]});
        let webhook = msp.post("/webhook-endpoints", webhook).await.json();
        let test = format!("/webhook-endpoints/{}/test", webhook["id"].as_str().unwrap());
        let delivery = msp.call("POST", &test, None).await;
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            member: id(&msp.get("/members").await.json()["data"][0]["id"]),
            invitation: id(&invitation.json()["id"]),
            link: id(&link.json()["id"]),
            webhook: id(&webhook["id"]),
            delivery: id(&delivery.json()["id"]),
            client: id(&domain["client_id"]),
            server: id(&domain["policy"]["default"]["server_id"]),
            token: id(&token.json()["id"]),
            domain: id(&domain["id"]),
        }
    }

    fn paths(&self, template: &str) -> Vec<String> {
        let ids: &[&str] = match template.split('/').nth(1).unwrap() {
            "clients" => &[&self.client],
            "mdm-servers" => &[&self.server],
            "tokens" => &[&self.token],
            "members" => &[&self.member],
            "invitations" => &[&self.invitation],
            "webhook-endpoints" => &[&self.webhook],
            "domains" => &[&self.domain, "contoso.com", "CONTOSO.com."],
            other => panic!("whose id is in /{other}/…?"),
        };
        // Of what a domain has, the id is one of its own.
        let own = |id: &str| {
            if template.contains("{domain}") {
                self.link.clone()
            } else {
                id.to_owned()
            }
        };
        let fill = |id: &&str| {
            let path = template.replace("{id}", &own(id)).replace("{domain}", id);
            path.replace("{delivery_id}", &self.delivery)
        };
        ids.iter().map(fill).collect()
    }
}

#[test]
fn an_operation_that_comes_or_goes_is_noticed_and_each_has_an_example() {
    let operations = Operation::all();
    assert_eq!(
        operations.len(),
        OPERATIONS,
        "then is it called by the tests below, and documented?"
    );
    for operation in operations {
        let text = operation.description.to_string();
        let holds_example = text.contains(r#""example":"#) || text.contains(r#""examples":"#);
        assert!(holds_example, "{} has no example", operation.name());
        assert!(
            operation.description["responses"]["401"].is_object(),
            "{} does not say that it may answer 401",
            operation.name()
        );
    }
}

#[sqlx::test]
async fn nobody_gets_401_before_the_body_is_read(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owned = Owned::by(&app.msp("Acme IT").await).await;
    let nobody = app.anonymous();
    for operation in Operation::all() {
        let named = operation.has_id().then(|| owned.paths(&operation.path));
        for path in named.unwrap_or_else(|| vec![operation.path.clone()]) {
            let answer = nobody.send(&operation.method, &path, "{", &[JSON]).await;
            answer.problem(401, "unauthenticated");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer"),
                "{}",
                operation.name()
            );

            let head = format!(
                "{} /api/v1{path} HTTP/1.1\r\nhost: portal.signpost.test\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n",
                operation.method
            );
            let answer = raw(app.http, head).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{}: {answer}", operation.name());
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn whoever_is_not_quite_a_caller_is_nobody(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let nobody = app.anonymous();
    let token = &msp.token;
    let other_checksum = format!("{}_", &token[..token.len() - 1]);
    let unknown = signpost::accounts::token::TokenText::random();
    for credentials in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {other_checksum}"),
        format!("Bearer {}", token.to_lowercase().to_uppercase()),
        format!("Bearer {}", unknown.expose()),
        "Bearer sgp_".into(),
    ] {
        let answer = nobody.send("GET", "/me", "", &[("authorization", &credentials)]).await;
        let problem = answer.problem(401, "unauthenticated");
        assert!(!problem.to_string().contains(token.as_str()));
    }
    let lower_case = format!("bearer {token}");
    let answer = nobody.send("GET", "/me", "", &[("authorization", &lower_case)]).await;
    assert_eq!(answer.status, 200, "a scheme's case does not matter (RFC 9110 §11.1)");
    app.stop().await;
}

#[sqlx::test]
async fn a_stranger_gets_404_before_the_body_is_read_and_changes_nothing(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let owned = Owned::by(&msp).await;
    let stranger = app.msp("Other IT").await;
    let before = msp.get("/domains").await.text;
    let mut called = BTreeSet::new();
    for operation in Operation::all().into_iter().filter(Operation::has_id) {
        for path in owned.paths(&operation.path) {
            let with_valid = stranger.call(&operation.method, &path, Some(json!({}))).await;
            with_valid.problem(404, "not_found");
            let with_broken = stranger.send(&operation.method, &path, "{", &[JSON]).await;
            let problem = with_broken.problem(404, "not_found");
            assert!(!problem.to_string().contains("contoso"), "{problem}");

            let head = format!(
                "{} /api/v1{path} HTTP/1.1\r\nhost: portal.signpost.test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
                operation.method, stranger.token
            );
            let answer = raw(app.http, head).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{}: {answer}", operation.name());
            called.insert(operation.name());
        }
    }
    assert_eq!(called.len(), 28, "{called:?}");
    assert_eq!(msp.get("/domains").await.text, before);
    for path in [
        format!("/clients/{}", owned.client),
        format!("/mdm-servers/{}", owned.server),
    ] {
        assert_eq!(msp.get(&path).await.status, 200, "{path}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn what_never_existed_answers_as_what_belongs_to_another(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owned = Owned::by(&app.msp("Acme IT").await).await;
    let never = Owned {
        client: uuid::Uuid::now_v7().to_string(),
        server: uuid::Uuid::now_v7().to_string(),
        token: uuid::Uuid::now_v7().to_string(),
        domain: uuid::Uuid::now_v7().to_string(),
        link: uuid::Uuid::now_v7().to_string(),
        member: uuid::Uuid::now_v7().to_string(),
        invitation: uuid::Uuid::now_v7().to_string(),
        webhook: uuid::Uuid::now_v7().to_string(),
        delivery: uuid::Uuid::now_v7().to_string(),
    };
    let stranger = app.msp("Other IT").await;
    for operation in Operation::all().into_iter().filter(Operation::has_id) {
        let without_id = |mut problem: Value| problem.as_object_mut().unwrap().remove("request_id").map(|_| problem);
        let mut answers = Vec::new();
        for owned in [&owned, &never] {
            let answer = stranger
                .call(&operation.method, &owned.paths(&operation.path)[0], None)
                .await;
            answers.push(without_id(answer.problem(404, "not_found")));
        }
        assert_eq!(answers[0], answers[1], "{}", operation.name());
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_wrong_method_is_405_with_the_right_ones(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let owned = Owned::by(&msp).await;
    let operations = Operation::all();
    let paths: BTreeSet<&String> = operations.iter().map(|operation| &operation.path).collect();
    for template in paths {
        let right: BTreeSet<&str> = operations
            .iter()
            .filter(|operation| &operation.path == template)
            .map(|operation| operation.method.as_str())
            .collect();
        let path = template.contains('{').then(|| owned.paths(template).remove(0));
        let path = path.unwrap_or_else(|| template.clone());
        for wrong in METHODS.into_iter().filter(|method| !right.contains(method)) {
            let answer = msp.send(wrong, &path, "{", &[JSON]).await;
            answer.problem(405, "method_not_allowed");
            let allow: BTreeSet<&str> = answer.header("allow").unwrap().split(", ").collect();
            assert_eq!(allow, right, "{wrong} {path}");
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn an_unknown_path_is_404_for_a_caller_and_401_for_nobody(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    for path in [
        "",
        "/",
        "/nothing",
        "/domains/contoso.com/nothing",
        "/domains//preview",
        "/domains/%ff",
        "/domains/%00",
        "/clients/%ff",
        "/clients/1",
        "/clients/contoso.com",
        "/mdm-servers/%F0%9F%A6%80",
        "/domains/127.0.0.1",
        "/me/x",
    ] {
        msp.get(path).await.problem(404, "not_found");
        app.anonymous().get(path).await.problem(401, "unauthenticated");
    }
    let id = domain["id"].as_str().unwrap();
    for path in [
        format!("/clients/{id}"),
        format!("/mdm-servers/{id}"),
        format!("/tokens/{id}"),
        format!("/members/{id}"),
        format!("/invitations/{id}"),
        format!("/webhook-endpoints/{id}"),
    ] {
        msp.get(&path).await;
        msp.delete(&path).await.problem(404, "not_found");
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_document_is_public_and_is_the_generated_one(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let answer = app.anonymous().get("/openapi.json").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(answer.text, signpost::api::openapi::json());
    assert_eq!(answer.json()["openapi"], "3.1.0");
    app.anonymous()
        .post("/openapi.json", json!({}))
        .await
        .problem(405, "method_not_allowed");
    app.stop().await;
}

#[sqlx::test]
async fn every_answer_has_a_request_id_of_its_own_and_the_rate_limit(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let mut ids = BTreeSet::new();
    for path in ["/me", "/clients", "/nothing", "/clients?x=1", "/domains"] {
        let answer = msp
            .send("GET", path, "", &[("x-request-id", "chosen-by-the-caller")])
            .await;
        ids.insert(answer.header("x-request-id").unwrap().to_owned());
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"organisation\";q=30000;w=60"),
            "{path}"
        );
        let left = answer.header("ratelimit").unwrap();
        assert!(
            left.starts_with("\"organisation\";r=") && left.ends_with(";t=60"),
            "{left}"
        );
    }
    assert_eq!(ids.len(), 5);
    assert!(!ids.contains("chosen-by-the-caller"));
    let anonymous = app.anonymous().get("/me").await;
    assert!(anonymous.header("x-request-id").is_some() && anonymous.header("ratelimit").is_none());
    app.stop().await;
}
