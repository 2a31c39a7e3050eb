//! Two nodes, killed and cut off at random moments, again and again.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use signpost::{
    own_checks::{self, OwnChecks},
    sealed::Keyring,
};
use sqlx::PgPool;

use super::{
    judge::{Door, Judge},
    random,
};
use crate::{
    acme::cluster::hostnames,
    app::{TENANT, WELL_KNOWN, eventually},
    binary::{Machine, Serving},
    outage::Outage,
    process::{TestDir, free_port},
    wire::exchange,
};

const ROUNDS: usize = 12;

/// A node whose database goes away without the other's.
struct Node {
    outage: Outage,
    machine: Machine,
    keys: PathBuf,
    http: SocketAddr,
    serving: Option<Serving>,
}

impl Node {
    fn new(pool: &PgPool, keys: &Path) -> Self {
        let (outage, mut machine) = (Outage::of(pool), Machine::bare());
        machine.set_database(&outage.options());
        machine.set("SIGNPOST_SECRET_KEY_FILE", keys.to_str().unwrap());
        machine.set("SIGNPOST_ENTRA_URLS", "global=http://127.0.0.1:9");
        let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
        machine.set("SIGNPOST_HTTP_ADDR", &http.to_string());
        Self {
            outage,
            machine,
            keys: keys.to_owned(),
            http,
            serving: None,
        }
    }

    fn start(&mut self) {
        self.serving = Some(self.machine.serve(&[]));
    }

    fn kill(&mut self) {
        self.serving.take().unwrap().kill();
    }

    async fn register(&self, organisation: &Value, names: &[String]) {
        let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT, "cloud": "global"}});
        let row = |hostname: &String| json!({"hostname": hostname, "client_name": "Contoso", "server": server});
        let rows: Vec<_> = names.iter().map(row).collect();
        let program = self.serving.as_ref().unwrap().program(organisation);
        let answer = program
            .post("/domains/import", json!({"dry_run": false, "rows": rows}))
            .await;
        assert!(answer.status < 300, "{}", answer.text);
        self.machine
            .run_with(&["domain", "verify", "-"], &names.join("\n"))
            .succeeded();
    }

    /// The status that a check of this installation gets.
    async fn ask_as_own_check(&self, name: &str) -> u16 {
        let keys = Keyring::load(&self.keys).unwrap().derive_all(own_checks::KEY_PURPOSE);
        let value = OwnChecks::new(&keys)
            .sign(name, crate::clock::now().timestamp())
            .unwrap();
        let request = format!(
            "GET {WELL_KNOWN} HTTP/1.1\r\nHost: {name}\r\n{}: {value}\r\n\r\n",
            own_checks::HEADER
        );
        exchange(self.http, request.as_bytes()).await.expect("an answer").status
    }

    /// Waits until these are answered, and in the snapshot: a start without the database needs it.
    async fn knows(&self, names: &[String]) {
        eventually(|| async { is_kept(&self.machine.state_dir(), names) }).await;
        for name in names {
            // Not logged, so not in the judge's way.
            eventually(|| async { self.ask_as_own_check(name).await == 200 }).await;
        }
    }
}

#[sqlx::test]
async fn what_was_answered_is_logged_once_however_often_nodes_are_killed_and_the_database_goes(pool: PgPool) {
    let keys = TestDir::new();
    let key_file = keys.path().join("secret.key");
    let mut nodes = [(); 2].map(|()| Node::new(&pool, &key_file));
    let organisation = nodes[0].machine.create_organisation("Acme IT");
    nodes.iter_mut().for_each(Node::start);
    let names = hostnames("faults", 5);
    nodes[0].register(&organisation, &names).await;
    for node in &nodes {
        node.knows(&names).await;
    }
    let judge = Judge::start(&nodes.each_ref().map(|node| Door::Http(node.http)), &names, 4);
    for round in 0..ROUNDS {
        let node = &mut nodes[usize::try_from(random(2)).unwrap()];
        judge.more(20).await;
        tokio::time::sleep(Duration::from_millis(random(400))).await;
        // By turns: the node alone, its database alone, both.
        if round % 3 != 0 {
            node.outage.begin();
            tokio::time::sleep(Duration::from_millis(random(600))).await;
        }
        if round % 3 != 1 {
            node.kill();
            if round % 2 == 0 {
                node.outage.end();
            }
            node.start();
        }
        judge.more(20).await;
        node.outage.end();
    }
    judge.more(20).await;
    let heard = judge.rest().await;
    heard.is_true();
    heard.is_logged(&pool).await;
    for node in nodes {
        let (status, _) = node.serving.unwrap().terminate();
        assert!(status.success());
    }
}

/// Whether the last directory on disk has these names in it.
fn is_kept(state_dir: &Path, names: &[String]) -> bool {
    let files = std::fs::read_dir(state_dir)
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    let snapshots: Vec<_> = files.collect();
    names.iter().all(|name| {
        snapshots
            .iter()
            .any(|file| file.windows(name.len()).any(|window| window == name.as_bytes()))
    })
}
