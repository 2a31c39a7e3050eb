//! A node that starts while its database is really down: what it serves, what it says of itself, and what it refuses.
use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::{
    app::{eventually, intune_document},
    binary::{Machine, Serving, soon},
    cluster::Cluster,
    tls,
    wire::{Reply, ask, ask_target},
};

/// A cluster, a machine that uses it, and an organisation.
struct Rig {
    cluster: Cluster,
    machine: Machine,
    created: Value,
}

impl Rig {
    fn new() -> Self {
        let cluster = Cluster::start();
        let mut machine = Machine::bare();
        machine.set_database(&cluster.options());
        let created = machine.create_organisation("Acme IT");
        Self {
            cluster,
            machine,
            created,
        }
    }

    /// Registers domains and waits until they are served with their certificates.
    async fn fill(&self, serving: &Serving, hostnames: &[&str]) {
        let msp = serving.program(&self.created);
        for hostname in hostnames {
            msp.register(hostname).await;
        }
        self.machine
            .run(&[&["domain", "verify"], hostnames].concat())
            .succeeded();
        for hostname in hostnames {
            self.until_shown(serving, hostname).await;
        }
    }

    async fn until_shown(&self, serving: &Serving, hostname: &str) {
        let roots = tls::roots_of(&self.machine.state_dir());
        eventually(|| async {
            let config = tls::trusting(&roots, tls::BOTH);
            tls::handshake(serving.https, hostname, config).await.is_ok()
                && ask(serving.http, hostname.as_bytes(), "").await.status == 200
        })
        .await;
    }

    fn snapshot(&self) -> std::path::PathBuf {
        self.machine.state_dir().join("directory.snapshot")
    }

    /// Three domains in a snapshot, nobody runs.
    async fn at_rest() -> Self {
        let mut rig = Self::new();
        let serving = rig.machine.serve(&[]);
        rig.fill(&serving, &["contoso.com", "fabrikam.com", "deleted.example"])
            .await;
        let msp = serving.program(&rig.created);
        assert_eq!(msp.delete("/domains/deleted.example").await.status, 204);
        eventually(|| async { ask(serving.http, b"deleted.example", "").await.status == 404 }).await;
        assert!(serving.terminate().0.success());
        rig.cluster.stop();
        rig
    }

    /// A start that finds nothing it could serve.
    async fn assert_refused(&mut self, why: &str) {
        let damaged = fs::read(self.snapshot()).unwrap();
        let serving = self.machine.serve(&[]);
        let readiness = readiness(&serving).await;
        assert_eq!(readiness.status, 503, "{why}");
        assert!(
            readiness.body.contains("the snapshot was refused") && readiness.body.contains(why),
            "{}",
            readiness.body
        );
        assert_eq!(metric(&serving, "signpost_snapshot_refused").await, 1);
        assert_eq!(metric(&serving, "signpost_directory_age_seconds").await, -1);
        assert_eq!(ask(serving.http, b"contoso.com", "").await.status, 503);
        let is_error = |line: &str| line.contains(r#""level":"ERROR""#) && line.contains(why);
        assert!(serving.output.find(is_error).is_some(), "{:#?}", serving.output.lines());
        assert_eq!(fs::read(self.snapshot()).unwrap(), damaged, "left as it was");
        self.cluster.begin();
        let took = until_current(&serving).await;
        println!("{why}: served {took:?} after the database's start");
        self.until_shown(&serving, "contoso.com").await;
        let kept = self.snapshot().with_extension("snapshot.refused");
        assert_eq!(fs::read(kept).unwrap(), damaged, "kept for whoever wants to know");
        assert!(serving.terminate().0.success());
        self.cluster.stop();
        let serving = self.machine.serve(&[]);
        assert_eq!(readiness_status(&serving).await, 200);
        assert_eq!(ask(serving.http, b"contoso.com", "").await.body, intune_document());
        assert!(serving.terminate().0.success());
    }
}

async fn readiness(serving: &Serving) -> Reply {
    ask_target(serving.ops, "localhost", b"/readyz").await
}

async fn readiness_status(serving: &Serving) -> u16 {
    readiness(serving).await.status
}

async fn metric(serving: &Serving, name: &str) -> i64 {
    let metrics = ask_target(serving.ops, "localhost", b"/metrics").await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing: {metrics}"))
        .parse()
        .unwrap()
}

/// Until it follows the database.
async fn until_current(serving: &Serving) -> Duration {
    let began = Instant::now();
    eventually(|| async { readiness(serving).await.body == "ready\n" }).await;
    began.elapsed()
}

#[tokio::test]
async fn a_node_whose_database_is_down_serves_its_snapshot_at_once_says_so_and_catches_up() {
    let mut rig = Rig::at_rest().await;
    let began = Instant::now();
    let serving = rig.machine.serve(&[]);
    let took = began.elapsed();
    println!("ready {took:?} after the start, without the database");
    assert!(took < Duration::from_secs(4), "{took:?}: it waited for the database");
    let readiness = readiness(&serving).await;
    assert_eq!(readiness.status, 200);
    let at = readiness
        .body
        .strip_prefix("ready\ndatabase: unreachable, serving the snapshot of ")
        .unwrap();
    let at: chrono::DateTime<chrono::Utc> = at.trim_end().parse().unwrap();
    let age = (crate::clock::now() - at).num_seconds();
    assert!((0..60).contains(&age), "{age}");
    assert_eq!(metric(&serving, "signpost_database_reachable").await, 0);
    assert!(metric(&serving, "signpost_directory_age_seconds").await - age <= 2);
    assert_eq!(metric(&serving, "signpost_snapshot_refused").await, 0);
    let roots = tls::roots_of(&rig.machine.state_dir());
    for hostname in ["contoso.com", "fabrikam.com"] {
        let reply = tls::ask_h1(serving.https, &roots, hostname, hostname, "").await;
        assert_eq!((reply.status, reply.body), (200, intune_document()));
    }
    assert_eq!(ask(serving.http, b"deleted.example", "").await.status, 404);

    rig.cluster.begin();
    let took = until_current(&serving).await;
    println!("it followed the database {took:?} after that was back");
    assert_eq!(metric(&serving, "signpost_database_reachable").await, 1);
    assert!(metric(&serving, "signpost_directory_age_seconds").await <= 2);
    rig.fill(&serving, &["new.example"]).await;

    rig.cluster.stop();
    let away = "ready\ndatabase: unreachable, serving what was read at ";
    eventually(|| async { self::readiness(&serving).await.body.starts_with(away) }).await;
    assert_eq!(ask(serving.http, b"new.example", "").await.body, intune_document());
    assert!(serving.terminate().0.success());
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_loudly_kept_and_replaced() {
    let mut rig = Rig::at_rest().await;
    let mut bytes = fs::read(rig.snapshot()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(rig.snapshot(), bytes).unwrap();
    rig.assert_refused("damaged at byte").await;
    rig.cluster.stop();
    fs::write(rig.snapshot(), b"").unwrap();
    rig.assert_refused("cut off").await;
}

#[tokio::test]
async fn a_snapshot_of_another_installation_is_refused() {
    let mut rig = Rig::at_rest().await;
    let other = Rig::at_rest().await;
    fs::copy(other.snapshot(), rig.snapshot()).unwrap();
    rig.assert_refused("secret key").await;
}

#[tokio::test]
async fn another_installations_database_takes_nothing_away_from_a_node_that_serves_its_snapshot() {
    let rig = Rig::at_rest().await;
    let serving = rig.machine.serve(&[]);
    let _stranger = {
        let cluster = Cluster::in_place_of(&rig.cluster);
        let mut machine = Machine::bare();
        machine.set_database(&cluster.options());
        machine.create_organisation("Other IT");
        cluster
    };
    let is_told =
        |line: &str| line.contains("the database is back and can't be used") && line.contains("holds none of the keys");
    assert!(
        soon(|| serving.output.find(is_told).is_some()),
        "{:#?}",
        serving.output.lines()
    );
    assert_eq!(ask(serving.http, b"contoso.com", "").await.body, intune_document());
    assert!(readiness(&serving).await.body.contains("serving the snapshot of"));
    assert!(serving.terminate().0.success());
}

#[tokio::test]
async fn of_two_processes_on_one_state_directory_the_second_ends_and_leaves_the_snapshot_alone() {
    let rig = Rig::at_rest().await;
    let serving = rig.machine.serve(&[]);
    let before = fs::read(rig.snapshot()).unwrap();
    let error = rig.machine.run(&["serve"]);
    assert!(!error.status.success());
    assert!(
        error.stderr.contains("another `signpost serve` uses"),
        "{}",
        error.stderr
    );
    assert_eq!(fs::read(rig.snapshot()).unwrap(), before);
    assert_eq!(ask(serving.http, b"contoso.com", "").await.body, intune_document());
}

/// What a node answers for each domain: the number of the change that it serves. `None`: nothing.
async fn shown(serving: &Serving, hostnames: &[String]) -> BTreeMap<String, Option<i64>> {
    let mut shown = BTreeMap::new();
    for hostname in hostnames {
        let reply = ask_target(serving.http, hostname, b"/").await;
        let number = reply.header("location").map(|url| {
            let number = url.trim_start_matches("https://v").split('.').next().unwrap();
            number.parse().unwrap()
        });
        shown.insert(hostname.clone(), number);
    }
    shown
}

/// Changes one domain after the other, on and on: each change has the next number.
async fn keep_changing(pool: PgPool, hostnames: Vec<String>, number: Arc<AtomicI64>) {
    loop {
        for hostname in &hostnames {
            let number = number.fetch_add(1, Ordering::Relaxed) + 1;
            sqlx::query("update domains set website_url = 'https://v' || $1 || '.example/' where hostname = $2")
                .bind(number)
                .bind(hostname)
                .execute(&pool)
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_a_node_never_goes_back_behind_what_it_answered() {
    let mut rig = Rig::new();
    let hostnames: Vec<String> = (0..20).map(|number| format!("contoso-{number}.com")).collect();
    let serving = rig.machine.serve(&[]);
    let names: Vec<_> = hostnames.iter().map(String::as_str).collect();
    rig.fill(&serving, &names).await;
    let pool = rig.cluster.pool().await;
    sqlx::query("update domains set website_url = 'https://v0.example/'")
        .execute(&pool)
        .await
        .unwrap();
    eventually(|| async {
        shown(&serving, &hostnames)
            .await
            .values()
            .all(|number| *number == Some(0))
    })
    .await;
    drop(serving);
    let mut known: BTreeMap<String, Option<i64>> = hostnames.iter().map(|name| (name.clone(), Some(0))).collect();
    let (mut gone, number) = (Vec::new(), Arc::new(AtomicI64::new(0)));
    for round in 0..12_u64 {
        let pool = rig.cluster.pool().await;
        let mut changing = JoinSet::new();
        changing.spawn(keep_changing(pool.clone(), hostnames.clone(), number.clone()));
        // Every other round is killed in the middle of its start.
        let random = Duration::from_micros(u64::try_from(uuid::Uuid::now_v7().as_u128() % 300_000).unwrap());
        if round % 2 == 0 {
            let serving = rig.machine.serve(&[]);
            tokio::time::sleep(random).await;
            let deleted = &hostnames[usize::try_from(round).unwrap()];
            sqlx::query("update domains set suspended_at = now() where hostname = $1")
                .bind(deleted)
                .execute(&pool)
                .await
                .unwrap();
            eventually(|| async { ask(serving.http, deleted.as_bytes(), "").await.status == 404 }).await;
            gone.push(deleted.clone());
            for (hostname, number) in shown(&serving, &hostnames).await {
                known.insert(hostname, number);
            }
            serving.kill();
        } else {
            let serving = rig.machine.begin();
            tokio::time::sleep(random).await;
            serving.kill();
        }
        changing.shutdown().await;
        let committed: Vec<(String, i64)> =
            sqlx::query_as("select hostname, substring(website_url from '[0-9]+')::bigint from domains")
                .fetch_all(&pool)
                .await
                .unwrap();
        rig.cluster.stop();

        let serving = rig.machine.serve(&[]);
        assert_eq!(readiness_status(&serving).await, 200, "{:#?}", serving.output.lines());
        let after = shown(&serving, &hostnames).await;
        let committed: BTreeMap<_, _> = committed.into_iter().collect();
        for (hostname, number) in &after {
            let before = known[hostname];
            assert!(
                *number >= before,
                "round {round}: {hostname} went back from {before:?} to {number:?}"
            );
            assert!(
                *number <= Some(committed[hostname]),
                "round {round}: {hostname} shows what never was"
            );
            assert!(
                !gone.contains(hostname) || number.is_none(),
                "round {round}: {hostname} is back"
            );
        }
        known = after;
        serving.kill();
        rig.cluster.begin();
    }
    println!("suspended meanwhile: {gone:?}");
}
