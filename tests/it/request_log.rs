//! Each request one row and one count, through every failure; and nobody's name in it.
use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use signpost::{
    discovery::query::Asked,
    frames,
    request_log::{record::Record, shipper::Shipper, spool::Spool},
};
use sqlx::PgPool;

use crate::{
    app::{Msp, TestApp, WELL_KNOWN, eventually, settings},
    binary::{Machine, Serving},
    outage::Outage,
    wire::{ask, ask_target, exchange, exchange_head},
};

async fn serving(pool: PgPool, more: &[(&str, &str)]) -> (TestApp, Msp) {
    let app = TestApp::start_with(pool, more).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    (app, msp)
}

/// Rows of the request log of everybody, and what the counts sum up to.
async fn totals(pool: &PgPool) -> (i64, i64) {
    let rows = sqlx::query_scalar("select count(*) from requests").fetch_one(pool);
    let counts = sqlx::query_scalar("select coalesce(sum(count), 0)::bigint from request_counts").fetch_one(pool);
    (rows.await.unwrap(), counts.await.unwrap())
}

#[sqlx::test]
async fn each_request_is_one_row_and_one_count(pool: PgPool) {
    let (app, msp) = serving(pool, &[]).await;
    for (hostname, default) in [
        ("reject.example", json!({"action": "reject", "message": "No."})),
        ("defer.example", json!({"action": "defer"})),
        (
            "redirect.example",
            json!({"action": "redirect", "url": "https://mdm.example/"}),
        ),
    ] {
        msp.register_with(json!({"hostname": hostname, "policy": {"default": default}}))
            .await;
        app.verify(hostname).await;
    }
    let server_id = msp.get("/domains/contoso.com").await.json()["policy"]["default"]["server_id"].clone();
    let asked = [
        (
            "contoso.com",
            "?user-identifier=ada@contoso.com&model-family=iPhone",
            "iPhone",
            "served",
            200,
        ),
        ("contoso.com", "?model-family=AppleTV", "AppleTV", "served", 200),
        ("contoso.com", "?model-family=toaster", "unknown", "served", 200),
        ("contoso.com", "", "none", "served", 200),
        ("reject.example", "?model-family=Mac", "Mac", "rejected", 403),
        ("defer.example", "?model-family=Watch", "Watch", "deferred", 404),
        (
            "redirect.example",
            "?model-family=RealityDevice",
            "RealityDevice",
            "redirected",
            307,
        ),
    ];
    for (hostname, query, ..) in asked {
        app.ask(hostname, query).await;
    }
    let by_edge = format!("/d/CONTOSO.com{WELL_KNOWN}?model-family=iPad");
    ask_target(app.http, "edge.signpost.test", by_edge.as_bytes()).await;
    let head =
        format!("HEAD {WELL_KNOWN}?model-family=iPad HTTP/1.1\r\nHost: contoso.com\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange_head(app.http, head.as_bytes()).await.status, 200);
    // Neither is a discovery request.
    ask_target(app.http, "contoso.com", b"/").await;
    exchange(
        app.http,
        format!("POST {WELL_KNOWN} HTTP/1.1\r\nHost: contoso.com\r\nContent-Length: 0\r\n\r\n").as_bytes(),
    )
    .await;

    let rows = msp.logged(9).await;
    let seen: Vec<_> = rows
        .iter()
        .rev()
        .take(7)
        .map(|row| {
            (
                field(row, "hostname"),
                field(row, "model_family"),
                field(row, "outcome"),
                row["status"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected: Vec<_> = asked
        .iter()
        .map(|(host, _, family, outcome, status)| (*host, *family, *outcome, *status))
        .collect();
    assert_eq!(seen, expected);
    for row in &rows {
        assert_eq!(
            (field(row, "client_network"), &row["tls"]),
            ("127.0.0.0/24", &Value::Null)
        );
        let is_served = row["outcome"] == "served";
        assert_eq!(
            row["server_id"],
            if is_served { server_id.clone() } else { Value::Null },
            "{row}"
        );
    }
    assert_eq!(rows[8]["user_agent"], "DeviceManagementClient/1.0");
    assert!(rows[8]["user"].as_str().unwrap().len() >= 16);
    assert_eq!(rows[7]["user"], Value::Null);

    let summary = msp.get("/requests/summary?group_by=model_family,outcome").await.json();
    let mut counted: Vec<_> = summary["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                field(row, "model_family").to_owned(),
                field(row, "outcome").to_owned(),
                row["count"].as_u64().unwrap(),
            )
        })
        .collect();
    counted.sort();
    let mut expected: Vec<_> = [
        ("AppleTV", "served", 1),
        ("Mac", "rejected", 1),
        ("RealityDevice", "redirected", 1),
        ("Watch", "deferred", 1),
        ("iPad", "served", 2),
        ("iPhone", "served", 1),
        ("none", "served", 1),
        ("unknown", "served", 1),
    ]
    .map(|(family, outcome, count)| (family.to_owned(), outcome.to_owned(), count))
    .to_vec();
    expected.sort();
    assert_eq!(counted, expected);
    assert_eq!(totals(&app.pool).await, (9, 9));
    app.stop().await;
}

fn field<'r>(row: &'r Value, name: &str) -> &'r str {
    row[name].as_str().unwrap()
}

#[sqlx::test]
async fn one_person_has_one_digest_in_an_organisation_and_another_in_the_next(pool: PgPool) {
    let (app, msp) = serving(pool, &[]).await;
    msp.register("contoso.net").await;
    let other = app.msp("Other IT").await;
    other.register("other.example").await;
    app.verify("contoso.net").await;
    app.verify("other.example").await;
    let spellings = [
        "first+tag@contoso.com",
        "First%2BTag%40Contoso.COM",
        "FIRST+TAG@CONTOSO.COM",
        "%66irst+tag@contoso.com",
    ];
    for spelling in spellings {
        app.ask("contoso.com", &format!("?user-identifier={spelling}")).await;
    }
    app.ask("contoso.net", "?user-identifier=first+tag@contoso.com").await;
    app.ask("contoso.com", "?user-identifier=first%20tag@contoso.com").await;
    app.ask("other.example", "?user-identifier=first+tag@contoso.com").await;
    let digests = |rows: &[Value]| rows.iter().map(|row| field(row, "user").to_owned()).collect::<Vec<_>>();
    let ours = digests(&msp.logged(6).await);
    let theirs = digests(&other.logged(1).await);
    // Newest first: the one with a space, then the same person five times.
    assert_eq!(ours[1..].iter().collect::<BTreeSet<_>>().len(), 1, "{ours:?}");
    assert_ne!(ours[0], ours[1]);
    assert_ne!(theirs[0], ours[1]);
    app.stop().await;
}

#[sqlx::test]
async fn requests_for_unknown_domains_are_all_counted_kept_in_part_and_seen_by_no_tenant(pool: PgPool) {
    let (app, msp) = serving(pool, &[]).await;
    msp.register("unverified.example").await;
    for number in 0..100 {
        let host = format!("flood-{number}.example");
        assert_eq!(ask(app.http, host.as_bytes(), "").await.status, 404);
    }
    app.ask(
        "unverified.example",
        "?user-identifier=ada@unverified.example&model-family=Mac",
    )
    .await;
    app.ask("contoso.com", "").await;
    assert_eq!(msp.logged(1).await[0]["hostname"], "contoso.com");
    eventually(|| async { totals(&app.pool).await.1 == 102 }).await;
    // Sixty a minute, and the one that is known.
    assert_eq!(totals(&app.pool).await, (61, 102));
    for query in [
        "",
        "?outcome=unknown_domain",
        "?domain=unverified.example",
        "?domain=flood-1.example",
    ] {
        let rows = msp.get(&format!("/requests{query}")).await;
        assert!(
            !rows.text.contains("flood") && !rows.text.contains("unverified"),
            "{query}: {}",
            rows.text
        );
    }
    let summary = msp.get("/requests/summary?group_by=outcome").await.json();
    assert_eq!(summary, json!({"data": [{"outcome": "served", "count": 1}]}));
    let users: i64 = sqlx::query_scalar("select count(*) from requests where user_digest is not null")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(users, 0);
    app.stop().await;
}

#[sqlx::test]
async fn only_a_trusted_proxy_says_for_whom_it_asks(pool: PgPool) {
    let stranger = serving(pool.clone(), &[]).await;
    let forwarded = "X-Forwarded-For: 203.0.113.77\r\nForwarded: for=203.0.113.77\r\nX-Real-IP: 203.0.113.77\r\n";
    ask(stranger.0.http, b"contoso.com", forwarded).await;
    assert_eq!(stranger.1.logged(1).await[0]["client_network"], "127.0.0.0/24");
    let (app, msp) = (stranger.0, stranger.1);
    let token = msp.token.clone();
    let state_dir = app.stop_for_a_while().await;

    let trusted = [("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8,198.51.100.0/24")];
    let app = TestApp::start_in(pool, state_dir, &trusted).await;
    let msp = app.program(msp.organisation_id, &token);
    let asked = [
        ("X-Forwarded-For: 203.0.113.77\r\n", "203.0.113.0/24"),
        ("X-Forwarded-For: 2001:db8:1:2::3\r\n", "2001:db8:1::/48"),
        ("X-Forwarded-For: 192.0.2.1, 203.0.113.77\r\n", "203.0.113.0/24"),
        ("X-Forwarded-For: 203.0.113.77, 198.51.100.9\r\n", "203.0.113.0/24"),
        ("X-Forwarded-For: nonsense\r\n", "127.0.0.0/24"),
        ("X-Forwarded-For: 203.0.113.77, nonsense\r\n", "127.0.0.0/24"),
        (
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 203.0.113.77\r\n",
            "203.0.113.0/24",
        ),
        (
            "Forwarded: for=203.0.113.77\r\nX-Real-IP: 203.0.113.77\r\n",
            "127.0.0.0/24",
        ),
        ("", "127.0.0.0/24"),
    ];
    for (headers, _) in asked {
        ask(app.http, b"contoso.com", headers).await;
    }
    let rows = msp.logged(asked.len() + 1).await;
    for (row, (headers, expected)) in rows.iter().rev().skip(1).zip(asked) {
        assert_eq!(row["client_network"], expected, "{headers}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn what_is_asked_while_the_database_is_away_is_logged_when_it_is_back(pool: PgPool) {
    let outage = Outage::of(&pool);
    let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
    let mut settings = settings(&pool, &state_dir, &[]);
    settings.database = Some(vec![outage.options()]);
    let app = TestApp::start_as(pool.clone(), state_dir, &settings).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    app.ask("contoso.com", "").await;
    eventually(|| async { totals(&pool).await == (1, 1) }).await;
    outage.begin();
    for _ in 0..50 {
        assert_eq!(app.ask("contoso.com", "?model-family=Mac").await.status, 200);
    }
    assert_eq!(totals(&pool).await, (1, 1));
    outage.end();
    eventually(|| async { totals(&pool).await == (51, 51) }).await;
    app.stop().await;
}

#[sqlx::test]
async fn a_stop_ships_everything_that_was_asked(pool: PgPool) {
    let (app, _msp) = serving(pool.clone(), &[]).await;
    for _ in 0..30 {
        app.ask("contoso.com", "?model-family=Mac").await;
    }
    app.stop().await;
    assert_eq!(totals(&pool).await, (30, 30));
}

#[sqlx::test]
async fn a_server_that_is_killed_right_after_its_answers_has_lost_none_of_them(pool: PgPool) {
    let outage = Outage::of(&pool);
    let mut machine = Machine::new(&pool);
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    msp.register("contoso.com").await;
    machine.run(&["domain", "verify", "contoso.com"]).succeeded();
    eventually(|| async { ask(serving.http, b"contoso.com", "").await.status == 200 }).await;
    assert!(serving.terminate().0.success());
    let (before, _) = totals(&pool).await;

    machine.set_database(&outage.options());
    let serving = machine.serve(&[]);
    outage.begin();
    for _ in 0..20 {
        assert_eq!(ask(serving.http, b"contoso.com", "").await.status, 200);
    }
    serving.kill();
    outage.end();
    let serving = machine.serve(&[]);
    eventually(|| async { totals(&pool).await.0 == before + 20 }).await;
    assert!(serving.terminate().0.success());
    assert_eq!(totals(&pool).await.0, before + 20);
}

#[sqlx::test]
async fn a_crash_between_commit_and_clean_up_ships_nothing_twice(pool: PgPool) {
    let (app, _msp) = serving(pool.clone(), &[]).await;
    for _ in 0..10 {
        app.ask("contoso.com", "").await;
    }
    let state_dir = app.stop_for_a_while().await;
    assert_eq!(totals(&pool).await, (10, 10));
    // The segments are still there, as after a crash; whoever comes next reads them from the start.
    let spool = Spool::open(&state_dir).unwrap();
    assert!(spool.bytes() > 0);
    for _ in 0..2 {
        Shipper::new(pool.clone(), spool.clone()).flush().await.unwrap();
    }
    assert_eq!(totals(&pool).await, (10, 10));
    // Without its position it would ship them again: the position is what makes it once.
    for reset in [
        "delete from spool_segments",
        "update spool_positions set segment = 0, position = 0",
    ] {
        sqlx::query(reset).execute(&pool).await.unwrap();
    }
    let (one, other) = (
        Shipper::new(pool.clone(), spool.clone()),
        Shipper::new(pool.clone(), spool),
    );
    let (first, second) = tokio::join!(one.flush(), other.flush());
    first.unwrap();
    second.unwrap();
    assert_eq!(totals(&pool).await, (20, 20));
    let hosts: Vec<String> = sqlx::query_scalar("select distinct hostname from requests")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(hosts, ["contoso.com"]);
    std::fs::remove_dir_all(state_dir).unwrap();
}

#[sqlx::test]
async fn what_an_earlier_version_left_is_shipped_once_from_where_it_stopped(pool: PgPool) {
    let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
    let id = Spool::open(&state_dir).unwrap().id();
    let batch = |counts: &[u64]| {
        let at = crate::clock::now().timestamp_micros();
        let record = |count| Record::stranger_count(at, Asked::None, count);
        let mut frame = Vec::new();
        frames::write(&mut frame, &counts.iter().copied().map(record).collect::<Vec<_>>()).unwrap();
        frame
    };
    // Frames of many, several to a file; the first was shipped.
    let (shipped, next, newest) = (batch(&[1, 2]), batch(&[10, 20]), batch(&[100, 200, 400]));
    let file = |number: u64| state_dir.join(format!("spool/{number:016}.log"));
    fs::write(file(4), [&shipped[..], &next, &newest[..9]].concat()).unwrap();
    fs::write(file(5), &newest).unwrap();
    sqlx::query("insert into spool_positions (spool_id, segment, position) values ($1, 4, $2)")
        .bind(id)
        .bind(i64::try_from(shipped.len()).unwrap())
        .execute(&pool)
        .await
        .unwrap();
    for start in 0..2 {
        let shipper = Shipper::new(pool.clone(), Spool::open(&state_dir).unwrap());
        shipper.flush().await.unwrap();
        assert_eq!(totals(&pool).await, (0, 730));
        assert_eq!((shipper.unshipped(), shipper.damaged()), (0, 1 - start));
    }
    fs::remove_dir_all(state_dir).unwrap();
}

/// A number of the metrics, by all of its line before it.
async fn metric(serving: &Serving, name: &str) -> i64 {
    let metrics = ask_target(serving.ops, "localhost", b"/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

#[sqlx::test]
async fn a_disk_that_refuses_is_answered_through_and_counted_until_it_takes_again(pool: PgPool) {
    let machine = Machine::new(&pool);
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    msp.register("contoso.com").await;
    machine.run(&["domain", "verify", "contoso.com"]).succeeded();
    eventually(|| async { metric(&serving, "signpost_directory_entries ").await == 1 }).await;
    let before = metric(&serving, "signpost_request_log_shipped_total ").await;
    // No file may grow over this: each that is begun is refused, as on a full disk.
    serving.limit_files(Some(4096));
    for _ in 0..30 {
        assert_eq!(ask(serving.http, b"contoso.com", "").await.status, 200);
    }
    assert_eq!(metric(&serving, "signpost_request_log_dropped_total ").await, 30);
    assert_eq!(metric(&serving, "signpost_request_log_shipped_total ").await, before);
    serving.limit_files(None);
    let mut answered = 30;
    while totals(&pool).await.0 < 5 {
        assert_eq!(ask(serving.http, b"contoso.com", "").await.status, 200);
        answered += 1;
        assert!(answered < 100_000, "never written again");
    }
    let dropped = metric(&serving, "signpost_request_log_dropped_total ").await;
    // Every one is somewhere, and once.
    eventually(|| async { totals(&pool).await == (answered - dropped, answered - dropped) }).await;
    let says = |what: &str| serving.output.find(|line| line.contains(what)).is_some();
    assert!(says("the request log can't be written to disk"));
    assert!(says("the request log is written again"));
    assert_eq!(metric(&serving, "signpost_request_log_damaged_total ").await, 0);
    assert!(serving.terminate().0.success());
}
