//! A node whose clock is wrong: it answers devices and programs, and decides nothing about time.
use std::{fs, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgPool;

use crate::{
    app::{Answer, TestApp, eventually},
    binary::{Machine, Serving},
    process::TestDir,
    wire::ask,
};

const FAKETIME: &str = "faketime/libfaketime.so.1";

/// A program whose clock the test sets.
pub struct WrongClock {
    pub machine: Machine,
    offset: PathBuf,
}

impl WrongClock {
    /// `offset` as libfaketime reads it: `+90d`, `-2h`, `+0`.
    pub fn new(pool: &PgPool, offset: &str) -> Self {
        let mut machine = Machine::new(pool);
        let file = machine.directory.join("clock");
        machine.set("LD_PRELOAD", library().to_str().unwrap());
        machine.set("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap());
        machine.set("FAKETIME_NO_CACHE", "1");
        machine.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let clock = Self { machine, offset: file };
        clock.set(offset);
        clock
    }

    pub fn set(&self, offset: &str) {
        // Renamed, so that the program never reads half a file.
        let beside = self.offset.with_extension("new");
        fs::write(&beside, format!("{offset}\n")).unwrap();
        fs::rename(&beside, &self.offset).unwrap();
    }
}

/// Where Debian's package libfaketime puts it, on any architecture.
fn library() -> PathBuf {
    let mut found = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join(FAKETIME));
    found
        .find(|path| path.exists())
        .expect("the package libfaketime is installed")
}

async fn ops(node: &Serving, path: &str) -> String {
    let url = format!("http://{}{path}", node.ops);
    Answer::of(reqwest::get(url).await.unwrap()).await.text
}

async fn offset(node: &Serving) -> Option<f64> {
    let metrics = ops(node, "/metrics").await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("signpost_clock_offset_seconds "))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// Partitions and rows of the request log, and certificates of domains.
async fn what_a_clock_may_not_touch(pool: &PgPool) -> [i64; 3] {
    [
        count(
            pool,
            "select count(*) from pg_inherits where inhparent = 'requests'::regclass",
        )
        .await,
        count(pool, "select count(*) from requests").await,
        count(pool, "select count(*) from certificates where domain_id is not null").await,
    ]
}

#[sqlx::test]
async fn a_node_whose_clock_is_wrong_answers_devices_and_neither_deletes_nor_issues(pool: PgPool) {
    let keys = TestDir::new();
    for (offset_set, seconds, said) in [("+90d", 7_776_000.0, "ahead of"), ("-90d", -7_776_000.0, "behind")] {
        let hostname = format!("{}.example.com", said.replace(' ', "-"));
        let mut node = WrongClock::new(&pool, offset_set);
        let key = keys.path().join("secret.key");
        node.machine.set("SIGNPOST_SECRET_KEY_FILE", key.to_str().unwrap());
        let created = node
            .machine
            .create_organisation(&format!("Acme {}", said.replace(' ', "")));
        for days in [0, 1, 5, 29] {
            let at: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&pool).await.unwrap();
            let row = crate::partitions::asked(at - TimeDelta::days(days), None, "stranger.example");
            crate::partitions::ship(&pool, [row]).await;
        }
        // Kept by the organisation, not a stranger's: those go after a week.
        sqlx::query("update requests set organisation_id = $1::uuid where organisation_id is null")
            .bind(created["organisation_id"].as_str().unwrap())
            .execute(&pool)
            .await
            .unwrap();
        let before = what_a_clock_may_not_touch(&pool).await;

        let serving = node.machine.serve(&[]);
        let line = format!("clock: 7776000 s {said} the database's");
        eventually(|| async { ops(&serving, "/readyz").await.contains(&line) }).await;
        assert!(ops(&serving, "/readyz").await.starts_with("ready\n"));
        assert!((offset(&serving).await.unwrap() - seconds).abs() < 30.0);
        // Programs work, and devices are answered.
        let msp = serving.program(&created);
        msp.register(&hostname).await;
        let verified = node.machine.run(&["domain", "verify", &hostname]);
        verified.succeeded();
        eventually(|| async { ask(serving.http, hostname.as_bytes(), "").await.status == 200 }).await;
        assert_eq!(msp.get("/me").await.status, 200);
        let warned = serving.output.find(|line| line.contains("clock.off")).unwrap();
        let warned: Value = serde_json::from_str(&warned).unwrap();
        assert_eq!(warned["level"], "WARN");
        let [partitions, rows, certificates] = what_a_clock_may_not_touch(&pool).await;
        assert!(partitions >= before[0] && rows >= before[1], "nothing was deleted");
        assert_eq!(certificates, before[2], "nothing was issued");

        // Its clock is set: it works as any other.
        node.set("+0");
        eventually(|| async {
            count(&pool, "select count(*) from certificates where domain_id is not null").await > before[2]
        })
        .await;
        assert_eq!(ops(&serving, "/readyz").await, "ready\n");
        assert!(serving.output.find(|line| line.contains("clock.agrees")).is_some());
        let fresh =
            "select count(*) from certificates where not_before not between now() - interval '2 hours' and now()";
        assert_eq!(count(&pool, fresh).await, 0);
        let [partitions, rows, _] = what_a_clock_may_not_touch(&pool).await;
        assert!(partitions >= before[0] && rows >= before[1], "nothing was deleted");

        // It goes wrong again while it runs.
        node.set("+2h");
        eventually(|| async { ops(&serving, "/readyz").await.contains("clock: 7200 s ahead of") }).await;
        drop(serving);
    }
}

#[sqlx::test]
async fn when_all_certificates_are_due_at_once_a_part_is_renewed_in_an_hour(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let msp = app.msp("Acme IT").await;
    for number in 0..25 {
        let hostname = format!("d{number}.example.com");
        msp.register(&hostname).await;
        app.take_word(&hostname).await;
    }
    let issued = "select count(*) from certificates where domain_id is not null";
    eventually(|| async { count(&pool, issued).await == 25 }).await;
    let renewed = "select count(*) from certificates where renewed_at is not null";
    assert_eq!(count(&pool, renewed).await, 0, "a first certificate is no renewal");
    sqlx::query("update certificate_leases set due_at = now() - interval '1 hour', urgency = case when hostname < 'd2' then 0 else 2 end")
        .execute(&pool)
        .await
        .unwrap();
    eventually(|| async { count(&pool, renewed).await >= 10 }).await;
    // What has no certificate does not wait for renewals.
    msp.register("new.example.com").await;
    app.verify("new.example.com").await;
    eventually(|| async { count(&pool, issued).await == 26 }).await;
    assert!(
        count(&pool, renewed).await <= 20,
        "ten of each urgency in one claim at most"
    );
    sqlx::query("update certificates set renewed_at = renewed_at - interval '1 hour'")
        .execute(&pool)
        .await
        .unwrap();
    let lately = "select count(*) from certificates where renewed_at > now() - interval '30 minutes'";
    eventually(|| async { count(&pool, lately).await >= 5 }).await;
    app.stop().await;
}
