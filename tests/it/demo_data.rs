//! What a demo holds.
use std::{fs, time::Instant};

use signpost::{demo, keyring, passwords::Passwords, server};
use sqlx::PgPool;

use super::app::{TestApp, settings};

/// The demo in a server of its own, and the password of its person.
async fn start(pool: &PgPool) -> (TestApp, String) {
    let app = TestApp::start_with(pool.clone(), &[("SIGNPOST_EDGE_ADDRESSES", "192.0.2.10")]).await;
    let own = server::own(&settings(pool, &app.state_dir, &[]));
    demo::fill(pool, &app.running.keyring(), &own, &["192.0.2.10".parse().unwrap()])
        .await
        .unwrap();
    let password = demo::let_in(pool, &app.running.keyring(), &Passwords::default())
        .await
        .unwrap();
    (app, password)
}

async fn count(pool: &PgPool, what: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(what))
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test]
async fn a_demo_shows_every_state_a_month_of_requests_and_lets_its_person_in(pool: PgPool) {
    let (app, password) = start(&pool).await;
    super::app::eventually(|| async {
        app.running.serves("fabrikam.example") && app.running.serves("contoso.example")
    })
    .await;
    let person = app.person();
    assert!(password.len() >= 15);
    assert_eq!(
        super::people::leads_to(&person.sign_in(demo::EMAIL, &password).await),
        "/"
    );
    // Counts are a second later than the domains.
    let sentence = "8 domains of 3 clients. Four need somebody to act.";
    super::app::eventually(|| async { person.get("/").await.text.contains(sentence) }).await;
    let page = person.get("/").await.text;
    for part in [
        "8 domains of 3 clients. Four need somebody to act.",
        "Active <b>4</b>",
        "Needs attention <b>1</b>",
        "Suspended <b>1</b>",
        "Waiting for the TXT record <b>1</b>",
        "Waiting for DNS <b>1</b>",
        "Woodgrove’s DNS admin",
        "Newest requests",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for class in ["iphone", "ipad", "mac", "vision", "appletv", "watch", "none"] {
        assert!(page.contains(&format!("<li class=\"{class}\">")), "{class}");
    }
    let requests = person.get("/requests").await.text;
    assert!(
        requests.contains(">Older</a>") && requests.contains("Jamf Pro"),
        "{requests}"
    );
    for outcome in ["served", "rejected", "deferred", "redirected"] {
        let page = person.get(&format!("/requests?outcome={outcome}")).await.text;
        assert!(page.contains("data-label=\"When\""), "{outcome}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_demo_is_written_once_and_quickly(pool: PgPool) {
    let state_dir = std::env::temp_dir().join(format!("signpost-demo-{}", uuid::Uuid::now_v7()));
    fs::create_dir_all(&state_dir).unwrap();
    let settings = settings(&pool, &state_dir, &[]);
    let mut tx = pool.begin().await.unwrap();
    let keyring = keyring::open(&mut tx, &settings.secret_key_file).await.unwrap();
    tx.commit().await.unwrap();
    let own = server::own(&settings);
    let passwords = Passwords::default();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let started = Instant::now();
        let token = demo::fill(&pool, &keyring, &own, &[]).await.unwrap();
        let password = demo::let_in(&pool, &keyring, &passwords).await.unwrap();
        println!("filled in {:?}", started.elapsed());
        let rows = count(&pool, "select count(*) from requests").await;
        let counted = count(&pool, "select sum(count)::bigint from request_counts").await;
        let totals = count(
            &pool,
            "select sum(count)::bigint from request_totals where client_id = '00000000-0000-0000-0000-000000000000'",
        )
        .await;
        let future = count(&pool, "select count(*) from requests where at > now()").await;
        assert!(
            rows == counted && rows == totals && future == 0,
            "{rows} {counted} {totals} {future}"
        );
        assert!((1_500..8_000).contains(&rows), "{rows}");
        let domains = count(&pool, "select count(*) from domains").await;
        let events = count(&pool, "select count(*) from audit_events").await;
        assert!(events > 15, "{events}");
        seen.push((token.expose().to_owned(), password, rows, domains, events));
    }
    assert_eq!(seen[0], seen[1]);
    fs::remove_dir_all(state_dir).ok();
}

#[sqlx::test]
async fn a_demo_that_is_started_again_days_later_has_no_gap_in_its_month(pool: PgPool) {
    let (app, _) = start(&pool).await;
    // Before today: in the small hours it is the test's own request alone that is of today.
    let today = crate::clock::now().date_naive();
    let by_day = format!(
        "select count(distinct at::date) from requests where hostname = 'contoso.example' and at < '{today} 00:00+00'"
    );
    let (all, days) = (
        count(&pool, "select count(*) from requests").await,
        count(&pool, &by_day).await,
    );
    assert!((25..=30).contains(&days), "{days}");
    // As if the last six days had not come yet; but somebody asked today, as a device would.
    for statement in [
        "delete from requests where at >= date_trunc('hour', now() - interval '6 days')",
        "delete from request_counts where hour >= date_trunc('hour', now() - interval '6 days')",
        "delete from request_totals where hour >= date_trunc('hour', now() - interval '6 days')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    app.ask("contoso.example", "?model-family=Mac").await;
    super::app::eventually(|| async {
        count(
            &pool,
            "select count(*) from requests where at > now() - interval '1 minute'",
        )
        .await
            == 1
    })
    .await;
    let own = server::own(&settings(&pool, &app.state_dir, &[]));
    demo::fill(&pool, &app.running.keyring(), &own, &[]).await.unwrap();
    assert_eq!(count(&pool, &by_day).await, days);
    let (again, counted) = (
        count(&pool, "select count(*) from requests").await,
        count(&pool, "select sum(count)::bigint from request_counts").await,
    );
    assert!((all * 9 / 10..all * 11 / 10).contains(&again), "{all} {again}");
    assert_eq!(again, counted);
    assert_eq!(count(&pool, "select count(*) from requests where at > now()").await, 0);
    app.stop().await;
}

#[sqlx::test]
async fn a_changed_password_is_the_printed_one_again_after_the_next_start(pool: PgPool) {
    let (app, password) = start(&pool).await;
    sqlx::query("update users set password_hash = null")
        .execute(&pool)
        .await
        .unwrap();
    let again = demo::let_in(&pool, &app.running.keyring(), &Passwords::default())
        .await
        .unwrap();
    assert_eq!(again, password);
    let person = app.person();
    assert_eq!(super::people::leads_to(&person.sign_in(demo::EMAIL, &again).await), "/");
    app.stop().await;
}
