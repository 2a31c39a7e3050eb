//! Many domains in one call.
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::app::{Msp, TENANT, TestApp};

fn row(hostname: &str) -> Value {
    json!({"hostname": hostname, "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {"tenant_id": TENANT}}})
}

async fn hostnames(msp: &Msp) -> Vec<String> {
    let list = msp.get("/domains?limit=100").await.json();
    let hostname = |domain: &Value| domain["hostname"].as_str().unwrap().to_owned();
    list["data"].as_array().unwrap().iter().map(hostname).collect()
}

#[sqlx::test]
async fn a_dry_run_says_what_would_be_and_does_nothing(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let before = msp.get("/audit-events").await.text;
    let rows = json!([row("a.example.com"), row("localhost"), row("B.example.com")]);
    let result = msp
        .post("/domains/import", json!({"dry_run": true, "rows": rows}))
        .await;
    assert_eq!(
        result.status, 200,
        "a dry run that finds mistakes has done its work: {}",
        result.text
    );
    let result = result.json();
    assert_eq!(
        (&result["dry_run"], &result["created"], &result["failed"]),
        (&json!(true), &json!(2), &json!(1))
    );
    assert_eq!(
        result["data"][0],
        json!({"row": 0, "ok": true, "hostname": "a.example.com", "id": null, "code": null, "detail": null, "errors": []})
    );
    assert_eq!(
        (&result["data"][1]["code"], &result["data"][1]["errors"][0]["pointer"]),
        (&json!("invalid"), &json!("/hostname"))
    );
    assert_eq!(result["data"][2]["hostname"], "b.example.com");
    for path in ["/domains", "/clients", "/mdm-servers"] {
        assert_eq!(msp.get(path).await.json()["data"], json!([]), "{path}");
    }
    assert_eq!(msp.get("/audit-events").await.text, before);
    app.stop().await;
}

#[sqlx::test]
async fn one_bad_row_means_that_none_is_registered(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let rows = json!([row("a.example.com"), row("127.0.0.1"), row("b.example.com")]);
    let answer = msp.post("/domains/import", json!({ "rows": rows })).await;
    assert_eq!(answer.pointers(), ["/rows/1/hostname"]);
    let data = &answer.json()["data"];
    let results: Vec<_> = (0..3).map(|row| (&data[row]["ok"], &data[row]["id"])).collect();
    assert_eq!(
        results,
        [
            (&json!(true), &Value::Null),
            (&json!(false), &Value::Null),
            (&json!(true), &Value::Null)
        ]
    );
    for path in ["/domains", "/clients", "/mdm-servers"] {
        assert_eq!(msp.get(path).await.json()["data"], json!([]), "{path}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_partial_import_registers_what_can_be_and_leaves_nothing_of_the_rest(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("taken.example.com").await;
    let mut taken = row("taken.example.com");
    taken["client_name"] = json!("Only of the row that fails");
    let rows = json!([row("a.example.com"), taken, row("co.uk"), row("b.example.com")]);
    let result = msp
        .post("/domains/import", json!({"partial": true, "rows": rows}))
        .await;
    assert_eq!(result.status, 200, "{}", result.text);
    let result = result.json();
    assert_eq!((&result["created"], &result["failed"]), (&json!(2), &json!(2)));
    let codes: Vec<_> = result["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["code"])
        .collect();
    assert_eq!(
        codes,
        [&Value::Null, &json!("hostname_taken"), &json!("invalid"), &Value::Null]
    );
    assert_eq!(
        hostnames(&msp).await,
        ["taken.example.com", "a.example.com", "b.example.com"]
    );
    let id = result["data"][3]["id"].as_str().unwrap();
    assert_eq!(
        msp.get(&format!("/domains/{id}")).await.json()["hostname"],
        "b.example.com"
    );
    assert_eq!(msp.get("/clients").await.json()["data"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[sqlx::test]
async fn a_row_that_is_malformed_is_a_result_of_its_own(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let mut unknown = row("x.example.com");
    unknown["x"] = json!(1);
    let mut deep = row("y.example.com");
    deep["server"]["parameters"]["tenant_id"] = json!(7);
    let rows = json!([null, 1, "contoso.com", [], ["contoso.com"], {}, {"hostname": 1}, unknown, deep, row("fine.example.com")]);
    let result = msp
        .post("/domains/import", json!({"partial": true, "rows": rows}))
        .await
        .json();
    let data = result["data"].as_array().unwrap();
    let pointers: Vec<_> = data.iter().map(|row| row["errors"][0]["pointer"].as_str()).collect();
    assert_eq!(
        pointers,
        [
            Some(""),
            Some(""),
            Some(""),
            Some(""),
            Some(""),
            Some(""),
            Some("/hostname"),
            Some("/x"),
            Some("/server/parameters/tenant_id"),
            None
        ]
    );
    assert_eq!(
        data[7]["hostname"], "x.example.com",
        "what can be read of the row helps to find it"
    );
    assert_eq!(hostnames(&msp).await, ["fine.example.com"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_hostname_that_stands_twice_in_one_import_is_taken_the_second_time(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let rows = json!([row("bücher.example"), row("XN--bcher-kva.example.")]);
    let refused = msp.post("/domains/import", json!({ "rows": rows })).await;
    assert_eq!(refused.pointers(), ["/rows/1"]);
    assert_eq!(refused.json()["data"][1]["code"], "hostname_taken");
    assert!(hostnames(&msp).await.is_empty());
    let partial = msp
        .post("/domains/import", json!({"partial": true, "rows": rows}))
        .await
        .json();
    assert_eq!((&partial["created"], &partial["failed"]), (&json!(1), &json!(1)));
    app.stop().await;
}

#[sqlx::test]
async fn a_thousand_rows_are_one_call_and_one_more_is_too_many(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    let rows = |count: usize| {
        (0..count)
            .map(|n| row(&format!("n{n}.example.com")))
            .collect::<Vec<_>>()
    };
    let too_many = msp.post("/domains/import", json!({"rows": rows(1001)})).await;
    assert_eq!(too_many.pointers(), ["/rows"]);
    assert!(hostnames(&msp).await.is_empty());
    let result = msp.post("/domains/import", json!({"rows": rows(1000)})).await.json();
    assert_eq!((&result["created"], &result["failed"]), (&json!(1000), &json!(0)));
    let none = msp.post("/domains/import", json!({"rows": []})).await.json();
    assert_eq!((&none["created"], &none["data"]), (&json!(0), &json!([])));
    app.stop().await;
}

#[sqlx::test]
async fn of_two_imports_that_wait_for_each_other_one_is_to_be_sent_again(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let first = app.msp("Acme IT").await;
    let second = app.msp("Other IT").await;
    let mut rows: Vec<_> = (0..60).map(|n| row(&format!("n{n}.example.com"))).collect();
    let forwards = json!({"partial": true, "rows": rows});
    rows.reverse();
    let backwards = json!({"partial": true, "rows": rows});
    let (one, other) = tokio::join!(
        first.post("/domains/import", forwards),
        second.post("/domains/import", backwards)
    );
    // PostgreSQL ends one of two that wait for each other; whether they do is chance.
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 200 | 409]), "{} {}", one.text, other.text);
    for (answer, msp) in [(&one, &first), (&other, &second)] {
        let created = answer.json()["created"].as_u64().unwrap_or_default();
        assert_eq!(hostnames(msp).await.len() as u64, created, "{}", answer.text);
    }
    app.stop().await;
}
