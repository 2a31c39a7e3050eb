//! The request log as a page and as a file.
use sqlx::PgPool;

use super::{
    app::TestApp,
    overview::{limit_to, person_and_program},
    people::leads_to,
};

#[sqlx::test]
async fn an_empty_log_says_how_to_make_a_request_appear_and_that_line_works(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (person, program) = person_and_program(&app).await;
    program.register("contoso.com").await;
    app.verify("contoso.com").await;
    let page = person.get("/requests").await;
    assert_eq!(page.status, 200);
    let (_, line) = page.text.split_once("<code>curl ").unwrap();
    let line = line.split("</code>").next().unwrap();
    let line = line.replace("&#38;", "&").replace("&#39;", "'");
    // The name of the portal is the test's own.
    let line = format!(
        "curl -s --resolve portal.signpost.test:{}:127.0.0.1 {line}",
        app.http.port()
    );
    let output = tokio::process::Command::new("bash")
        .args(["-c", &line])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, super::app::intune_document(), "{line}");
    program.logged(1).await;
    let page = person.get("/requests").await.text;
    assert!(page.contains("<li class=\"iphone\">iPhone <b>1</b></li>"), "{page}");
    app.stop().await;
}

#[sqlx::test]
async fn the_filter_in_the_address_holds_for_rows_plots_pages_and_files(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (person, program) = person_and_program(&app).await;
    for hostname in ["contoso.com", "other.contoso.com"] {
        program.register(hostname).await;
        app.verify(hostname).await;
    }
    for at in 0..60 {
        let family = if at % 10 == 0 { "iPad" } else { "Mac" };
        app.ask(
            "contoso.com",
            &format!("?model-family={family}&user-identifier=u{at}%40contoso.com"),
        )
        .await;
    }
    app.ask("other.contoso.com", "?model-family=Watch").await;
    let rows = |page: &str| page.matches("data-label=\"When\"").count();
    super::app::eventually(|| async { person.get("/requests").await.text.contains("Mac <b>54</b>") }).await;
    let first = person.get("/requests?domain=contoso.com").await.text;
    assert_eq!(rows(&first), 50);
    assert!(
        first.contains("Mac <b>54</b>") && !first.contains("Watch <b>"),
        "{first}"
    );
    let (_, older) = first
        .split_once("href=\"/requests?domain=contoso.com&#38;before=")
        .unwrap();
    let older = older.split('"').next().unwrap();
    let second = person
        .get(&format!("/requests?domain=contoso.com&before={older}"))
        .await
        .text;
    assert_eq!(rows(&second), 10);
    assert!(!second.contains(">Older</a>") && second.contains(">Newest</a>"));
    let ipads = person
        .get("/requests?family=iPad&outcome=served&domain=Contoso.com.")
        .await
        .text;
    assert_eq!(rows(&ipads), 6, "{ipads}");
    assert!(
        ipads.contains("iPad <b>6</b>")
            && ipads.contains("/requests/export.csv?domain=Contoso.com.&#38;family=iPad&#38;outcome=served")
    );
    let past = person.get("/requests?until=2026-01-01").await.text;
    assert!(rows(&past) == 0 && past.contains("No request matches"), "{past}");

    let csv = person.get("/requests/export.csv?family=iPad").await;
    assert_eq!(
        csv.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    assert_eq!(csv.text.lines().count(), 7, "{}", csv.text);
    let ndjson = person.get("/requests/export.ndjson").await.text;
    assert_eq!(ndjson.lines().count(), 61);
    assert!(
        ndjson
            .lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_file_holds_no_formula_that_a_stranger_wrote(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (person, program) = person_and_program(&app).await;
    program.register("contoso.com").await;
    app.verify("contoso.com").await;
    let url = format!("http://{}{}", app.http, super::app::WELL_KNOWN);
    let request = reqwest::Client::new().get(url).header("host", "contoso.com");
    request
        .header("user-agent", "=HYPERLINK(\"http://evil.example\")")
        .send()
        .await
        .unwrap();
    program.logged(1).await;
    let csv = person.get("/requests/export.csv").await.text;
    assert!(csv.contains("\"'=HYPERLINK"), "{csv}");
    app.stop().await;
}

#[sqlx::test]
async fn what_is_wrong_with_a_filter_is_said_at_its_field_and_nothing_typed_is_lost(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (person, _) = person_and_program(&app).await;
    for query in [
        "domain=%3Cscript%3E",
        "client=1",
        "family=x",
        "outcome=%27",
        "since=x",
        "since=2026-02-02&until=2026-02-01",
        "domain=%00",
        "domain=%E2%80%AE",
    ] {
        let page = person.get(&format!("/requests?{query}")).await;
        assert_eq!(page.status, 422, "{query}");
        assert!(
            page.text.contains("class=\"error\"") && !page.text.contains("<script>"),
            "{query}: {}",
            page.text
        );
        let file = person.get(&format!("/requests/export.csv?{query}")).await;
        assert!(leads_to(&file).starts_with("/requests?"), "{query}");
    }
    let long = "a".repeat(5_000);
    assert_eq!(person.get(&format!("/requests?domain={long}")).await.status, 422);
    // What is no place in the list is its beginning.
    assert_eq!(person.get("/requests?before=x").await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn a_stranger_a_client_and_another_organisation_see_nothing_of_it(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (person, program) = person_and_program(&app).await;
    program.register("contoso.com").await;
    app.verify("contoso.com").await;
    app.ask("contoso.com", "?model-family=Mac").await;
    program.logged(1).await;
    let client: String = sqlx::query_scalar("select client_id::text from clients")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let other = app.owner("Rival IT", "eve@rival.example").await;
    for path in [
        "/requests",
        "/requests?domain=contoso.com",
        "/requests/export.ndjson",
        &format!("/requests?client={client}"),
        "/requests?client=00000000-0000-0000-0000-000000000000",
    ] {
        let theirs = other.get(path).await.text;
        assert!(
            !theirs.contains("Mac <b>") && !theirs.contains("data-label=\"When\"") && !theirs.contains("\"outcome\":"),
            "{path}: {theirs}"
        );
        assert!(leads_to(&app.person().get(path).await).starts_with("/sign-in?next=%2Frequests"));
    }
    assert!(
        person
            .get(&format!("/requests?client={client}"))
            .await
            .text
            .contains("Mac <b>1</b>")
    );
    program.post("/clients", serde_json::json!({"name": "Fabrikam"})).await;
    sqlx::query("delete from memberships where user_id not in (select user_id from sessions s join organisations o using (organisation_id) where o.name = 'Acme IT')")
        .execute(&app.pool).await.unwrap();
    limit_to(&app.pool, "Fabrikam").await;
    let page = person.get(&format!("/requests?client={client}")).await.text;
    assert!(
        !page.contains("Mac <b>1</b>") && !page.contains("<select id=\"client\""),
        "{page}"
    );
    app.stop().await;
}
