//! The other settings: tokens, the organisation itself, the audit log.
use serde_json::json;
use sqlx::PgPool;

use super::{
    app::{TENANT, TestApp},
    people::{PASSWORD, leads_to},
};

const OWNER: &str = "ada@msp.example";

#[sqlx::test]
async fn a_token_is_made_shown_once_and_revoked(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    assert!(
        owner
            .get("/settings/tokens")
            .await
            .text
            .contains("There is no token yet")
    );
    let program = app.program_of(&owner).await;
    assert!(!owner.get("/settings/tokens").await.text.contains(&program.token));
    let client = program.post("/clients", json!({"name": "Contoso"})).await.json();
    let client = client["id"].as_str().unwrap().to_owned();
    for (fields, message) in [
        (
            &[("name", ""), ("scopes", "domains:read")][..],
            "Name must have 1 to 200 characters",
        ),
        (&[("name", "<i>x")], "Name at least one"),
        (&[("name", "x"), ("scopes", "root")], "Is not one of domains:read"),
        (
            &[("name", "x"), ("scopes", "organisation:admin"), ("client_id", &client)],
            "have organisation:admin",
        ),
        (
            &[
                ("name", "x"),
                ("scopes", "domains:read"),
                ("client_id", "01890a5d-ac96-774b-bcce-b302099a8057"),
            ],
            "Client is none of yours",
        ),
        (
            &[("name", "x"), ("scopes", "domains:read"), ("expires_in_days", "9999")],
            "must be chosen",
        ),
    ] {
        let refused = owner.submit("/settings/tokens", fields).await;
        assert!(
            refused.status == 422 && refused.text.contains(message),
            "{fields:?}: {}",
            refused.text
        );
    }
    let fields = [
        ("name", "Contoso's own"),
        ("scopes", "domains:read"),
        ("client_id", &client),
        ("expires_in_days", "30"),
    ];
    let made = owner.submit("/settings/tokens", &fields).await;
    assert!(made.status == 200 && made.text.contains("shown this once") && made.text.contains("sgp_"));
    let tokens = program.get("/tokens").await.json();
    let token = &tokens["data"][1];
    assert_eq!(
        (&token["name"], &token["client_id"]),
        (&json!("Contoso's own"), &json!(client))
    );
    assert!(token["expires_at"].is_string());
    let page = owner.get("/settings/tokens").await.text;
    assert!(page.contains("Contoso&#39;s own") && !page.contains("sgp_"));
    let revoke = |id: &serde_json::Value| format!("/settings/tokens/{}/revoke", id.as_str().unwrap());
    let own = revoke(&tokens["data"][0]["id"]);
    let revoked = owner.submit_to("/settings/tokens", &own, &[]).await;
    assert_eq!(leads_to(&revoked), "/settings/tokens?done=revoked");
    program.get("/me").await.problem(401, "unauthenticated");
    app.stop().await;
}

#[sqlx::test]
async fn an_organisation_is_renamed_and_keeps_requests_and_events_as_long_as_it_says(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", OWNER).await;
    app.owner("Other IT", "eve@other.example").await;
    for (name, requests, audit, message) in [
        ("", "30", "365", "Name must have 1 to 200"),
        ("A", "0", "365", "Days of requests must be a number from 1 to 30"),
        ("A", "31", "365", "Days of requests must be"),
        ("A", "1e1", "365", "Days of requests must be"),
        (
            "A",
            "30",
            "29",
            "Days of the audit log must be a number from 30 to 3650",
        ),
        ("A", "30", "99999999999999999999", "Days of the audit log must be"),
    ] {
        let fields = [("name", name), ("request_days", requests), ("audit_days", audit)];
        let refused = owner.submit("/settings/organisation", &fields).await;
        assert!(
            refused.status == 422 && refused.text.contains(message),
            "{message}: {}",
            refused.text
        );
    }
    let fields = [("name", "Acme & Co"), ("request_days", "7"), ("audit_days", "30")];
    let saved = owner.submit("/settings/organisation", &fields).await;
    assert_eq!(leads_to(&saved), "/settings/organisation?done=saved");
    let page = owner.get("/settings/organisation").await.text;
    assert!(
        page.contains("value=\"Acme &#38; Co\"") && page.contains("value=\"7\""),
        "{page}"
    );

    let insert = async |days: i32| {
        sqlx::query(
            "insert into audit_events (audit_event_id, organisation_id, at, actor_kind, actor_name, action, subject_kind, subject_id, subject_name)
             select gen_random_uuid(), organisation_id, now() - make_interval(days => $1), 'signpost', 'x', 'x.old', 'x', gen_random_uuid(), 'x'
               from organisations",
        )
        .bind(days)
        .execute(&pool)
        .await
        .unwrap();
        let mut db = pool.begin().await.unwrap();
        let day = crate::clock::now().date_naive() - chrono::Days::new(u64::try_from(days).unwrap());
        signpost::request_log::partitions::store::ensure(&mut db, day)
            .await
            .unwrap();
        db.commit().await.unwrap();
        sqlx::query(
            "insert into requests (request_id, at, organisation_id, hostname, model_family, outcome, status, client_network)
             select gen_random_uuid(), now() - make_interval(days => $1), organisation_id, 'a.example', 'Mac', 'served', 200, '192.0.2.0/24'
               from organisations",
        )
        .bind(days)
        .execute(&pool)
        .await
        .unwrap();
    };
    for days in [6, 8, 29, 31, 366] {
        insert(days).await;
    }
    let now = crate::clock::database_now();
    let mut db = pool.acquire().await.unwrap();
    let year_ago = now - chrono::TimeDelta::days(365);
    signpost::audit::store::delete_old(&mut db, now, year_ago)
        .await
        .unwrap();
    signpost::request_log::partitions::keep_up(&pool, now).await.unwrap();
    for (name, events, requests) in [("Acme & Co", 3, 1), ("Other IT", 4, 3)] {
        let count = async |query: &'static str| {
            let count = sqlx::query_scalar::<_, i64>(query).bind(name);
            count.fetch_one(&pool).await.unwrap()
        };
        let kept = "select count(*) from audit_events join organisations o using (organisation_id) where o.name = $1 and action = 'x.old'";
        assert_eq!(count(kept).await, events, "{name}");
        let kept = "select count(*) from requests join organisations o using (organisation_id) where o.name = $1";
        assert_eq!(count(kept).await, requests, "{name}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn an_organisation_is_deleted_by_its_typed_name_when_nothing_is_served_of_it(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let editor = app.colleague(&owner, "editor@msp.example", "editor", "").await;
    let program = app.program_of(&owner).await;
    let domain = program.register("contoso.com").await;
    let delete = async |typed: &str| {
        owner
            .submit_to(
                "/settings/organisation",
                "/settings/organisation/delete",
                &[("confirm", typed)],
            )
            .await
    };
    for typed in ["", "acme it", "Other IT"] {
        let refused = delete(typed).await;
        assert!(
            refused.status == 422 && refused.text.contains("is not the organisation&#39;s name"),
            "{typed}"
        );
    }
    let refused = delete("Acme IT").await;
    assert!(refused.status == 422 && refused.text.contains("There are still domains"));
    assert_eq!(program.delete("/domains/contoso.com").await.status, 204);
    assert_eq!(delete("Acme IT").await.status, 422, "the MDM server");
    let server = domain["policy"]["default"]["server_id"].as_str().unwrap();
    assert_eq!(program.delete(&format!("/mdm-servers/{server}")).await.status, 204);
    assert_eq!(leads_to(&delete(" Acme IT ").await), "/sign-in?done=deleted");
    program.get("/me").await.problem(401, "unauthenticated");
    for person in [&owner, &editor] {
        assert_eq!(leads_to(&person.get("/settings").await), "/sign-in?next=%2Fsettings");
    }
    assert_eq!(app.person().sign_in(OWNER, PASSWORD).await.status, 422);
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from organisations) + (select count(*) from users) + (select count(*) from sessions)
              + (select count(*) from clients) + (select count(*) from api_tokens)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
    let told: Vec<String> = sqlx::query_scalar("select action from audit_events where organisation_id is null")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(told, ["organisation.deleted"], "an operator can see it");
    // The address is free again.
    app.owner("Acme again", OWNER).await;
    app.stop().await;
}

#[sqlx::test]
async fn the_audit_log_names_people_and_is_filtered_and_paged(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let program = app.program_of(&owner).await;
    app.colleague(&owner, "grace@msp.example", "viewer", "").await;
    for number in 0..60 {
        program
            .post("/clients", json!({"name": format!("Client {number}")}))
            .await;
    }
    let page = owner.get("/settings/audit").await.text;
    assert!(page.contains("Client created") && page.contains("CI (token)") && page.contains("Client 59"));
    assert!(!page.contains("Client 1<") && page.contains(">Older</a>"));
    let older = page.split("href=\"/settings/audit?").last().unwrap();
    let older = format!(
        "/settings/audit?{}",
        older.split('"').next().unwrap().replace("&#38;", "&")
    );
    let page = owner.get(&older).await.text;
    assert!(
        page.contains("Client 1<") && !page.contains("Client 59") && page.contains("Member joined"),
        "{page}"
    );

    let members = owner.get("/settings/audit?action=member").await.text;
    assert!(members.contains("Member joined") && members.contains(">grace<") && !members.contains("Client created"));
    let who = program.get("/members").await.json();
    let ada = who["data"][0]["id"].as_str().unwrap();
    let own = owner.get(&format!("/settings/audit?actor={ada}")).await.text;
    assert!(own.contains("Invitation created") && own.contains(">Ada Lovelace</td>"));
    assert!(!own.contains("Client created"));
    for query in [
        "action=nothing",
        "actor=operator",
        "action=x%00",
        "before=x&actor=%ff",
        "action=member&actor=x",
    ] {
        let page = owner.get(&format!("/settings/audit?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
    }
    program.register("contoso.com").await;
    program.register("fabrikam.com").await;
    program.post("/domains/contoso.com/share-links", json!({})).await;
    let page = owner.get("/settings/audit?domain=Contoso.com").await.text;
    assert!(page.contains("Domain created") && page.contains("Share link created") && !page.contains("fabrikam.com"));
    let page = owner
        .get("/settings/audit?domain=contoso.com&until=2026-01-01T00:00")
        .await
        .text;
    assert!(page.contains("Nothing that this filter leaves"));
    let events = program.get("/audit-events?limit=100").await.json();
    let made = events["data"].as_array().unwrap();
    let made = made.iter().find(|event| event["action"] == "token.created").unwrap();
    assert_eq!(
        (&made["actor"]["name"], &made["actor"]["id"]),
        (&json!("Ada Lovelace"), &json!(ada))
    );
    app.stop().await;
}

#[sqlx::test]
async fn hostile_texts_are_shown_as_they_are(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let hostile = "<script>alert('x')</script> 🦀 'or 1=1--";
    let owner = app.owner(hostile, OWNER).await;
    let program = app.program_of(&owner).await;
    let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT}});
    program
        .post(
            "/domains",
            json!({"hostname": "contoso.com", "client_name": hostile, "server": server}),
        )
        .await;
    let fields = [
        ("name", hostile),
        ("scopes", "domains:read"),
        ("client_id", ""),
        ("expires_in_days", ""),
    ];
    assert_eq!(owner.submit("/settings/tokens", &fields).await.status, 200);
    for path in [
        "/settings",
        "/settings/members",
        "/settings/tokens",
        "/settings/organisation",
        "/settings/audit",
        "/settings/leave",
        "/settings/switch",
    ] {
        let page = owner.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("<script>alert"), "{path}");
    }

    let huge = "x".repeat(60_000);
    for name in ["", " ", "a\0b", "a\nb", "\u{202e}TI emcA", &huge] {
        let fields = [("name", name), ("request_days", "30"), ("audit_days", "365")];
        assert_eq!(owner.submit("/settings/organisation", &fields).await.status, 422);
    }
    app.stop().await;
}
