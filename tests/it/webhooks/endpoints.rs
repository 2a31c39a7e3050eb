//! Endpoints and their deliveries in the REST API.
use serde_json::{Value, json};
use sqlx::PgPool;

use super::receiver::Receiver;
use crate::app::{Msp, TestApp, eventually};

const LOOPBACK: [(&str, &str); 1] = [("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8")];

async fn make(msp: &Msp, url: &str) -> Value {
    let body = json!({"url": url, "events": ["certificate.issued", "certificate.issued"], "description": " Tickets "});
    let made = msp.post("/webhook-endpoints", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()
}

fn path(endpoint: &Value, rest: &str) -> String {
    format!("/webhook-endpoints/{}{rest}", endpoint["id"].as_str().unwrap())
}

#[sqlx::test]
async fn an_endpoint_is_made_shown_changed_and_deleted_and_its_secret_is_shown_once(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let mut made = make(&msp, "https://hooks.acme.example/a?token=secret").await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!(made["events"], json!(["certificate.issued"]));
    assert_eq!(
        (&made["description"], &made["disabled_at"]),
        (&json!("Tickets"), &Value::Null)
    );
    made.as_object_mut().unwrap().remove("secret");
    assert_eq!(msp.get(&path(&made, "")).await.json(), made);
    assert_eq!(msp.get("/webhook-endpoints").await.json()["data"], json!([made]));

    let change = json!({"disabled": true, "events": ["domain.first_request"], "description": ""});
    let changed = msp.patch(&path(&made, ""), change).await.json();
    assert_eq!(
        (&changed["disabled_reason"], &changed["url"]),
        (&json!("asked"), &made["url"])
    );
    let test = msp.call("POST", &path(&made, "/test"), None).await;
    test.problem(409, "conflict");
    let on = msp.patch(&path(&made, ""), json!({"disabled": false})).await.json();
    assert_eq!(on["disabled_at"], Value::Null);
    assert_eq!(on["events"], json!(["domain.first_request"]));

    let audit = msp.get("/audit-events").await.text;
    for action in ["webhook_endpoint.created", "webhook_endpoint.updated"] {
        assert!(audit.contains(action), "{audit}");
    }
    assert!(!audit.contains("token=secret") && !audit.contains("whsec_"));
    assert_eq!(msp.delete(&path(&made, "")).await.status, 204);
    msp.get(&path(&made, "")).await.problem(404, "not_found");
    app.stop().await;
}

#[sqlx::test]
async fn a_test_is_sent_shown_and_replayed_and_a_new_secret_signs_beside_the_old_one(pool: PgPool) {
    let app = TestApp::start_with(pool, &LOOPBACK).await;
    let msp = app.msp("Acme IT").await;
    let receiver = Receiver::start().await;
    let made = make(&msp, &receiver.url()).await;
    let old = made["secret"].as_str().unwrap();
    let sent = msp.call("POST", &path(&made, "/test"), None).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    receiver.comes().await;
    let deliveries = || async { msp.get(&path(&made, "/deliveries")).await.json()["data"].clone() };
    eventually(|| async { deliveries().await[0]["state"] == "delivered" }).await;
    let delivery = deliveries().await[0].clone();
    assert_eq!(delivery["response"]["status"], 204);
    assert_eq!(delivery["payload"]["type"], "webhook.test");
    assert_eq!(delivery["payload"], receiver.received()[0].json());
    assert_eq!(delivery["event_id"], receiver.received()[0].id());

    let rotated = msp.call("POST", &path(&made, "/rotate-secret"), None).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let new = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    let replay = path(
        &made,
        &format!("/deliveries/{}/replay", delivery["id"].as_str().unwrap()),
    );
    assert_eq!(msp.call("POST", &replay, None).await.status, 202);
    receiver.comes().await;
    let received = receiver.received();
    assert!(received[0].is_signed_by(old) && !received[0].is_signed_by(&new));
    assert!(received[1].is_signed_by(old) && received[1].is_signed_by(&new));
    assert_eq!(received[0].id(), received[1].id());

    sqlx::query("update webhook_endpoints set old_secret_until = now() - interval '1 second'")
        .execute(&app.pool)
        .await
        .unwrap();
    eventually(|| async { deliveries().await[0]["state"] == "delivered" }).await;
    msp.call("POST", &replay, None).await;
    receiver.comes().await;
    let last = receiver.received().remove(2);
    assert!(last.is_signed_by(&new) && !last.is_signed_by(old));
    app.stop().await;
}

#[sqlx::test]
async fn an_organisation_has_at_most_twenty_and_only_who_administers_it_sees_them(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    for number in 0..20 {
        make(&msp, &format!("https://hooks.acme.example/{number}")).await;
    }
    let one_more = json!({"url": "https://hooks.acme.example/", "events": ["certificate.issued"]});
    let refused = msp.post("/webhook-endpoints", one_more.clone()).await;
    refused.problem(409, "conflict");
    let scopes = json!(["domains:read", "domains:write", "requests:read"]);
    let token = msp
        .post("/tokens", json!({"name": "CI", "scopes": scopes}))
        .await
        .json();
    let program = app.program(msp.organisation_id, token["token"].as_str().unwrap());
    program.get("/webhook-endpoints").await.problem(403, "forbidden");
    program
        .post("/webhook-endpoints", one_more)
        .await
        .problem(403, "forbidden");
    app.stop().await;
}

#[sqlx::test]
async fn no_more_than_a_hundred_wait_because_somebody_asked(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let msp = app.msp("Acme IT").await;
    // Loopback is refused here, so that everything waits.
    let made = make(&msp, "http://127.0.0.1:9/").await;
    for _ in 0..100 {
        assert_eq!(msp.call("POST", &path(&made, "/test"), None).await.status, 202);
    }
    let refused = msp.call("POST", &path(&made, "/test"), None).await;
    refused.problem(409, "conflict");
    app.stop().await;
}
