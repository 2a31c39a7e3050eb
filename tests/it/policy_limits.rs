//! The limits on the user patterns of a policy, at intake and for policies that were stored before the limits existed.
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Msp, TENANT, TestApp, eventually},
    wire::ask_target,
};

/// Patterns of 64 bytes with more than one `*`.
fn wildcards(count: usize) -> Vec<String> {
    vec![format!("*{}*", "x".repeat(62)); count]
}

fn rule(users: &[String], message: &str) -> Value {
    json!({"when": {"users": users}, "then": {"action": "reject", "message": message}})
}

fn domain(hostname: &str, rules: &Value) -> Value {
    let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT}});
    json!({"hostname": hostname, "client_name": "Contoso", "server": server, "policy": {"rules": rules}})
}

async fn warnings(msp: &Msp) -> Vec<String> {
    let domain = msp.get("/domains/contoso.com").await.json();
    let warnings = domain["warnings"].as_array().unwrap();
    let codes = warnings.iter().map(|warning| warning["code"].as_str().unwrap());
    codes.map(ToOwned::to_owned).collect()
}

#[sqlx::test]
async fn every_way_in_refuses_patterns_beyond_a_limit_at_the_first_of_them(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    let fits = json!([rule(&wildcards(64), "x")]);
    let exceeds = json!([rule(&["ada@*".to_owned()], "x"), rule(&wildcards(65), "x")]);
    let patch = |rules: &Value| json!({"policy": {"default": {"action": "defer"}, "rules": rules}});

    assert_eq!(msp.post("/domains", domain("a.example.com", &fits)).await.status, 201);
    assert_eq!(msp.patch("/domains/contoso.com", patch(&fits)).await.status, 200);

    let refused = msp.post("/domains", domain("b.example.com", &exceeds)).await;
    assert_eq!(refused.pointers(), ["/policy/rules/1/when/users/64"]);
    for text in ["4160 bytes", "the limit is 4096", "remove some"] {
        assert!(refused.text.contains(text), "{text} is not in {}", refused.text);
    }
    let refused = msp.patch("/domains/contoso.com", patch(&exceeds)).await;
    assert_eq!(refused.pointers(), ["/policy/rules/1/when/users/64"]);
    let rows = json!([domain("c.example.com", &fits), domain("d.example.com", &exceeds)]);
    let refused = msp.post("/domains/import", json!({"rows": rows})).await;
    assert_eq!(refused.pointers(), ["/rows/1/policy/rules/1/when/users/64"]);

    // 320 bytes each: 819 have 262,080 bytes. The body of a single domain may not be that large.
    let people = |count: usize| -> Vec<Vec<String>> {
        let people: Vec<_> = (0..count).map(|index| format!("{index:x>320}")).collect();
        people.chunks(100).map(<[String]>::to_vec).collect()
    };
    let many = |count: usize| people(count).iter().map(|users| rule(users, "x")).collect::<Value>();
    let rows = json!([domain("e.example.com", &many(819)), domain("f.example.com", &many(820))]);
    let refused = msp.post("/domains/import", json!({"rows": rows})).await;
    assert_eq!(refused.pointers(), ["/rows/1/policy/rules/8/when/users/19"]);
    assert!(refused.text.contains("the limit is 262144"), "{}", refused.text);
    app.stop().await;
}

#[sqlx::test]
async fn a_policy_from_before_the_limits_answers_as_before_until_its_patterns_are_changed(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let slow = "*a".repeat(119) + "*b";
    let pilots = (0..100).map(|index| format!("*pilot-{index:02}*@*"));
    let stored = json!({"default": {"action": "defer"}, "rules": [
        rule(&vec![slow.clone(); 100], "slow"),
        rule(&pilots.collect::<Vec<_>>(), "pilot"),
        rule(&["a*".to_owned()], "other"),
    ]});
    let store = sqlx::query("update domains set policy = $1").bind(&stored);
    store.execute(&pool).await.unwrap();
    let answer = async |user: &str| {
        let answer = app.ask("contoso.com", &format!("?user-identifier={user}")).await;
        let body = serde_json::from_str::<Value>(&answer.text).unwrap_or_default();
        (answer.status, body["message"].as_str().unwrap_or_default().to_owned())
    };
    eventually(|| async { answer("ada@contoso.com").await.0 == 403 }).await;
    for (user, status, message) in [
        ("eve-pilot-99-x@contoso.com", 403, "pilot"),
        ("ada-pilot-100@contoso.com", 403, "pilot"),
        ("ada-pilo-99@contoso.com", 403, "other"),
        ("eve@contoso.com", 404, ""),
        (&format!("{}b", "a".repeat(500)), 403, "slow"),
    ] {
        assert_eq!(answer(user).await, (status, message.to_owned()), "{user}");
    }
    // The limit of steps is reached: patterns that were not compared don't match, and a later rule applies.
    let reached = async |count: usize| {
        let metrics = ask_target(app.ops, "localhost", b"/metrics").await.body;
        let line = format!("signpost_policy_step_limit_total {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    };
    reached(0).await;
    assert_eq!(
        answer(&format!("ab{}", "a".repeat(500))).await,
        (403, "other".to_owned())
    );
    reached(1).await;
    assert_eq!(warnings(&msp).await, ["policy_over_limit"]);

    let website = json!({"website_url": "https://www.contoso.com", "policy": stored});
    assert_eq!(msp.patch("/domains/contoso.com", website).await.status, 200);
    let mut other_answer = stored.clone();
    other_answer["rules"][2]["then"] = json!({"action": "defer"});
    let changed = msp.patch("/domains/contoso.com", json!({"policy": other_answer})).await;
    assert_eq!(changed.status, 200);
    eventually(|| async { answer("ada@contoso.com").await.0 == 404 }).await;
    let mut fewer = other_answer.clone();
    fewer["rules"][0]["when"]["users"].as_array_mut().unwrap().pop();
    let refused = msp.patch("/domains/contoso.com", json!({"policy": fewer})).await;
    assert_eq!(refused.pointers(), ["/policy/rules/0/when/users/17"]);
    assert_eq!(warnings(&msp).await, ["policy_over_limit"]);
    other_answer["rules"].as_array_mut().unwrap().remove(0);
    let changed = msp.patch("/domains/contoso.com", json!({"policy": other_answer})).await;
    assert_eq!(changed.status, 200);
    assert_eq!(warnings(&msp).await, [""; 0]);
    app.stop().await;
}
