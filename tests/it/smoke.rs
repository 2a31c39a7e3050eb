//! The main job in one test.
use sqlx::PgPool;

use crate::app::{TestApp, eventually, intune_document};

#[sqlx::test]
async fn an_msp_registers_a_domain_a_device_gets_its_document_and_the_request_is_counted(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    assert_eq!(app.ask("contoso.com", "").await.status, 404);
    app.verify("contoso.com").await;

    let answer = app
        .ask("contoso.com", "?user-identifier=ada@contoso.com&model-family=iPhone")
        .await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(answer.text, intune_document());

    eventually(|| async { msp.get("/requests").await.json()["data"].as_array().unwrap().len() == 1 }).await;
    let row = &msp.get("/requests").await.json()["data"][0];
    assert_eq!(
        (row["model_family"].as_str(), row["outcome"].as_str()),
        (Some("iPhone"), Some("served"))
    );
    let summary = msp.get("/requests/summary?group_by=model_family").await.json();
    assert_eq!(
        summary,
        serde_json::json!({"data": [{"model_family": "iPhone", "count": 1}]})
    );
    app.stop().await;
}
