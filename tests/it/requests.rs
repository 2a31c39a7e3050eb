//! The request log as the API shows it: list, filters, summary and exports.
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::app::{Msp, TENANT, TestApp, eventually};

const CANARY: &str = "canary-7c1e@contoso.com";

struct Asked {
    app: TestApp,
    msp: Msp,
    /// Of fabrikam.com, that rejects.
    fabrikam: Value,
}

/// Six requests: four of contoso.com, two of fabrikam.com.
async fn asked(pool: PgPool) -> Asked {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    let reject = json!({"hostname": "fabrikam.com", "client_name": "Fabrikam", "policy": {"default": {"action": "reject", "message": "No."}}});
    let fabrikam = msp.post("/domains", reject).await.json();
    for hostname in ["contoso.com", "fabrikam.com"] {
        app.verify(hostname).await;
    }
    let user = format!("user-identifier={CANARY}");
    for (hostname, query) in [
        ("contoso.com", format!("?{user}&model-family=iPhone")),
        ("contoso.com", format!("?{user}&model-family=iPhone")),
        ("contoso.com", "?model-family=Toaster".to_owned()),
        ("contoso.com", String::new()),
        ("fabrikam.com", format!("?{user}&model-family=Mac")),
        (
            "fabrikam.com",
            "?user-identifier=other@contoso.com&model-family=Mac".to_owned(),
        ),
        ("unknown.example.com", "?model-family=Mac".to_owned()),
    ] {
        app.ask(hostname, &query).await;
    }
    eventually(|| async { rows(&msp, "").await.len() == 6 }).await;
    Asked { app, msp, fabrikam }
}

async fn rows(msp: &Msp, query: &str) -> Vec<Value> {
    let answer = msp.get(&format!("/requests{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer.json()["data"].as_array().unwrap().clone()
}

#[sqlx::test]
async fn a_request_is_a_row_without_the_person(pool: PgPool) {
    let Asked { app, msp, .. } = asked(pool).await;
    let rows = rows(&msp, "").await;
    assert!(
        rows.is_sorted_by(|newer, older| newer["id"].as_str() > older["id"].as_str()),
        "newest first"
    );
    let served = rows.iter().find(|row| row["model_family"] == "iPhone").unwrap();
    assert_eq!(
        (
            &served["hostname"],
            &served["outcome"],
            &served["status"],
            &served["tls"]
        ),
        (&json!("contoso.com"), &json!("served"), &json!(200), &Value::Null)
    );
    assert_eq!(
        (&served["client_network"], &served["user_agent"]),
        (&json!("127.0.0.0/24"), &json!("DeviceManagementClient/1.0"))
    );
    assert!(served["server_id"].is_string());
    let families: Vec<_> = rows
        .iter()
        .filter(|row| row["hostname"] == "contoso.com")
        .map(|row| row["model_family"].as_str().unwrap())
        .collect();
    for family in ["iPhone", "unknown", "none"] {
        assert!(families.contains(&family), "{families:?}");
    }
    let users = |family: &str| {
        rows.iter()
            .filter(|row| row["model_family"] == family)
            .map(|row| row["user"].clone())
            .collect::<Vec<_>>()
    };
    let (iphone, mac) = (users("iPhone"), users("Mac"));
    assert_eq!(iphone[0], iphone[1], "one person's requests can be told together");
    assert!(mac.contains(&iphone[0]) && mac[0] != mac[1]);
    assert_eq!(users("none"), [Value::Null]);
    let mut all = msp.get("/requests").await.text + &msp.get("/audit-events").await.text;
    for accept in ["text/csv", "application/x-ndjson"] {
        all += &msp
            .call_with("GET", "/requests", None, &[("accept", accept)])
            .await
            .text;
    }
    assert!(!all.contains("canary") && !all.contains("unknown.example.com"));
    app.stop().await;
}

#[sqlx::test]
async fn requests_are_filtered_and_paged(pool: PgPool) {
    let Asked { app, msp, fabrikam } = asked(pool).await;
    let (id, client) = (
        fabrikam["id"].as_str().unwrap(),
        fabrikam["client_id"].as_str().unwrap(),
    );
    let all = rows(&msp, "").await;
    let third = all[2]["at"].as_str().unwrap();
    for (query, count) in [
        ("?domain=contoso.com", 4),
        ("?domain=CONTOSO.com.", 4),
        (&format!("?domain={id}"), 2),
        (&format!("?client_id={client}"), 2),
        ("?model_family=iPhone", 2),
        ("?model_family=unknown", 1),
        ("?model_family=none", 1),
        ("?outcome=served", 4),
        ("?outcome=rejected", 2),
        ("?outcome=unknown_domain", 0),
        ("?domain=contoso.com&model_family=Mac", 0),
        ("?since=2999-01-01T00:00:00Z", 0),
        ("?until=2020-01-01T00:00:00Z", 0),
        (&format!("?since={third}"), 3),
        (&format!("?until={third}"), 3),
    ] {
        assert_eq!(rows(&msp, query).await.len(), count, "{query}");
    }
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    for _ in 0..3 {
        let page = msp.get(&format!("/requests{query}")).await.json();
        paged.extend(page["data"].as_array().unwrap().clone());
        query = format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap_or("end"));
    }
    assert_eq!(query, "?limit=2&cursor=end");
    assert_eq!(paged, all);
    app.stop().await;
}

#[sqlx::test]
async fn a_summary_counts_in_the_order_of_its_groups(pool: PgPool) {
    let Asked { app, msp, .. } = asked(pool).await;
    let summary = async |query: &str| msp.get(&format!("/requests/summary{query}")).await.json()["data"].clone();
    let by_family = json!([
        {"model_family": "Mac", "count": 2},
        {"model_family": "iPhone", "count": 2},
        {"model_family": "none", "count": 1},
        {"model_family": "unknown", "count": 1},
    ]);
    let mut found = summary("?group_by=model_family").await.as_array().unwrap().clone();
    found.sort_by_key(|line| line["model_family"].to_string());
    assert_eq!(json!(found), by_family);
    assert_eq!(
        summary("").await,
        summary("?group_by=model_family").await,
        "by family if not said otherwise"
    );
    assert_eq!(
        summary("?group_by=domain,outcome").await,
        json!([
            {"domain": "contoso.com", "outcome": "served", "count": 4},
            {"domain": "fabrikam.com", "outcome": "rejected", "count": 2},
        ])
    );
    let total = |lines: Value| {
        lines
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["count"].as_i64().unwrap())
            .sum::<i64>()
    };
    for (query, member) in [
        ("?group_by=hour", "hour"),
        ("?group_by=day", "day"),
        ("?group_by=domain,day", "day"),
    ] {
        let lines = summary(query).await;
        assert!(
            lines[0][member].is_string() && lines[0]["model_family"].is_null(),
            "{lines}"
        );
        assert_eq!(total(lines), 6, "{query}");
    }
    assert_eq!(summary("?until=2020-01-01T00:00:00Z").await, json!([]));
    assert_eq!(summary("?since=2999-01-01T00:00:00Z").await, json!([]));
    app.stop().await;
}

#[sqlx::test]
async fn an_export_has_every_row_and_no_formula(pool: PgPool) {
    let Asked { app, msp, .. } = asked(pool).await;
    for agent in ["=cmd|' /C calc'!A0", "a,\"b\""] {
        let url = format!("http://{}{}", app.http, crate::app::WELL_KNOWN);
        let request = reqwest::Client::new()
            .get(url)
            .header("host", "contoso.com")
            .header("user-agent", agent);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    eventually(|| async { rows(&msp, "").await.len() == 8 }).await;
    let all = rows(&msp, "").await;

    let ndjson = msp
        .call_with("GET", "/requests?limit=1", None, &[("accept", "application/x-ndjson")])
        .await;
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = ndjson
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, all, "an export has no pages");

    let csv = msp
        .call_with("GET", "/requests", None, &[("accept", "text/html;q=0.5, text/csv")])
        .await;
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"requests.csv\"")
    );
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let header = "id,at,hostname,model_family,user,outcome,status,server_id,user_agent,client_network,tls";
    assert_eq!(reader.headers().unwrap(), header.split(',').collect::<Vec<_>>());
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    let ids: Vec<_> = records.iter().map(|record| json!(&record[0])).collect();
    assert_eq!(ids, all.iter().map(|row| row["id"].clone()).collect::<Vec<_>>());
    let agents: Vec<_> = records.iter().map(|record| &record[8]).collect();
    assert!(agents.contains(&"a,\"b\""), "{agents:?}");
    assert!(agents.contains(&"'=cmd|' /C calc'!A0"), "{agents:?}");

    let filtered = msp
        .call_with(
            "GET",
            "/requests?outcome=rejected",
            None,
            &[("accept", "application/x-ndjson")],
        )
        .await;
    assert_eq!(filtered.text.lines().count(), 2);
    let wrong = msp
        .call_with("GET", "/requests?outcome=x", None, &[("accept", "text/csv")])
        .await;
    assert_eq!(wrong.pointers(), ["?outcome"]);
    app.stop().await;
}

#[sqlx::test]
async fn the_log_outlives_the_domain(pool: PgPool) {
    let Asked { app, msp, .. } = asked(pool).await;
    assert_eq!(msp.delete("/domains/contoso.com").await.status, 204);
    assert_eq!(rows(&msp, "?domain=contoso.com").await.len(), 4);
    let other = app.msp("Other IT").await;
    let body = json!({"hostname": "contoso.com", "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {"tenant_id": TENANT}}});
    assert_eq!(other.post("/domains", body).await.status, 201);
    assert!(
        rows(&other, "?domain=contoso.com").await.is_empty(),
        "whoever takes the name over does not inherit it"
    );
    app.stop().await;
}
