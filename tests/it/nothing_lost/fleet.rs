//! Three nodes behind a load balancer, a primary and its replica.
use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    judge::{Door, Judge},
    pair::Pair,
    random,
    relay::Relay,
};
use crate::{
    acme::{
        balancer::Balancer,
        cluster::{self, hostnames},
        rig,
    },
    app::{Msp, TENANT},
    binary::{Machine, Serving},
    process::{TestDir, free_port},
};
use rustix::process::Signal;

struct Fleet {
    nodes: Vec<(Machine, Option<Serving>)>,
    balancer: Balancer,
    organisation: Value,
    _keys: TestDir,
}

impl Fleet {
    /// Nodes that reach the database at these addresses, one for each.
    fn start(databases: &[String]) -> Self {
        let (balancer, keys) = (Balancer::start(), TestDir::new());
        let machine = |database: &String| {
            let mut machine = Machine::bare();
            machine.set("DATABASE_URL", database);
            machine.set(
                "SIGNPOST_SECRET_KEY_FILE",
                keys.path().join("secret.key").to_str().unwrap(),
            );
            machine.set("SIGNPOST_ENTRA_URLS", "global=http://127.0.0.1:9");
            let ports = ["SIGNPOST_HTTP_ADDR", "SIGNPOST_HTTPS_ADDR", "SIGNPOST_OPS_ADDR"].map(|name| {
                let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
                machine.set(name, &address.to_string());
                address
            });
            balancer.add(ports[0], ports[1], ports[2]);
            (machine, None)
        };
        let nodes: Vec<_> = databases.iter().map(machine).collect();
        let organisation = nodes[0].0.create_organisation("Acme IT");
        let mut fleet = Self {
            nodes,
            balancer,
            organisation,
            _keys: keys,
        };
        (0..databases.len()).for_each(|node| fleet.start_node(node));
        fleet
    }

    fn start_node(&mut self, node: usize) {
        let (machine, serving) = &mut self.nodes[node];
        *serving = Some(machine.serve(&[]));
    }

    /// As a supervisor does, and waits for its end.
    fn stop_node(&mut self, node: usize) {
        let serving = self.nodes[node].1.take().unwrap();
        let (status, took) = serving.terminate();
        assert!(status.success() && took < Duration::from_secs(11), "{status}, {took:?}");
    }

    fn node(&self, node: usize) -> &Serving {
        self.nodes[node].1.as_ref().unwrap()
    }

    fn program(&self, node: usize) -> Msp {
        self.node(node).program(&self.organisation)
    }

    /// At this node.
    async fn register(&self, node: usize, hostnames: &[String]) {
        let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT, "cloud": "global"}});
        let row = |hostname: &String| json!({"hostname": hostname, "client_name": "Contoso", "server": server});
        let rows: Vec<_> = hostnames.iter().map(row).collect();
        let program = self.program(node);
        // While the database changes hands a program is told to come again.
        rig::within(30, "domains are registered", || async {
            let answer = program
                .post("/domains/import", json!({"dry_run": false, "rows": rows}))
                .await;
            assert!(answer.status < 300 || answer.status >= 500, "{}", answer.text);
            answer.status < 300
        })
        .await;
        self.nodes[node]
            .0
            .run_with(&["domain", "verify", "-"], &hostnames.join("\n"))
            .succeeded();
    }

    /// Waits until each node that runs shows a certificate for each of these, which it does for what it serves.
    async fn serves(&self, seconds: u64, hostnames: &[String]) -> Duration {
        let running = self.nodes.iter().filter_map(|(_, node)| node.as_ref());
        cluster::shown(running.map(|node| node.https).collect(), hostnames, seconds).await
    }
}

/// What the nodes said, for whoever wonders why a test failed.
impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (number, (_, node)) in self.nodes.iter().enumerate() {
            for line in node.iter().flat_map(|node| node.output.lines()) {
                eprintln!("node {number}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_fails_and_nothing_is_lost_while_nodes_go_and_the_database_changes_hands() {
    let pair = Pair::start().await;
    let relays = [Relay::to(pair.primary.port), Relay::to(pair.replica.port)];
    let direct = format!(
        "postgres://signpost@127.0.0.1:{},127.0.0.1:{}/signpost?target_session_attrs=read-write",
        pair.primary.port, pair.replica.port
    );
    let relayed = format!(
        "postgres://signpost@127.0.0.1:{},127.0.0.1:{}/signpost",
        relays[0].port, relays[1].port
    );
    let mut fleet = Fleet::start(&[direct.clone(), direct, relayed]);
    let names = hostnames("fleet", 20);
    fleet.register(0, &names).await;
    fleet.serves(20, &names).await;
    pair.is_in_step().await;

    let judge = Judge::start(
        &[Door::Tls(SocketAddr::from(([127, 0, 0, 1], fleet.balancer.https)))],
        &names,
        6,
    );
    judge.more(200).await;
    // One is cut off from the database and does not learn of it, one is stopped, and the primary dies.
    relays.iter().for_each(Relay::cut);
    tokio::time::sleep(Duration::from_millis(random(1500))).await;
    fleet.stop_node(1);
    tokio::time::sleep(Duration::from_millis(random(1500))).await;
    let Pair {
        primary,
        replica,
        directory,
    } = pair;
    primary.kill();
    judge.more(200).await;
    replica.promote().await;
    judge.more(200).await;
    let later = hostnames("later", 3);
    fleet.register(0, &later).await;
    relays.iter().for_each(Relay::mend);
    fleet.start_node(1);
    judge.more(200).await;
    let heard = judge.rest().await;
    assert!(heard.unanswered.is_empty(), "{:?}", heard.unanswered);
    heard.is_logged(&replica.pool()).await;
    let took = fleet.serves(30, &later).await;
    eprintln!("the last node serves what was registered after the failover {took:?} later");
    for node in 0..3 {
        fleet.stop_node(node);
    }
    drop((replica, directory));
}

#[tokio::test]
async fn a_rolling_restart_under_load_fails_nobody() {
    let pair = Pair::start().await;
    let direct = format!("postgres://signpost@127.0.0.1:{}/signpost", pair.primary.port);
    let mut fleet = Fleet::start(&[direct.clone(), direct.clone(), direct]);
    let names = hostnames("rolling", 10);
    fleet.register(0, &names).await;
    fleet.serves(20, &names).await;
    let judge = Judge::start(
        &[Door::Tls(SocketAddr::from(([127, 0, 0, 1], fleet.balancer.https)))],
        &names,
        6,
    );
    for _ in 0..2 {
        for node in 0..3 {
            judge.more(60).await;
            fleet.stop_node(node);
            judge.more(60).await;
            fleet.start_node(node);
        }
    }
    judge.more(60).await;
    let heard = judge.rest().await;
    assert!(heard.unanswered.is_empty(), "{:?}", heard.unanswered);
    heard.is_logged(&pair.primary.pool()).await;
    // A supervisor's word and nobody else's: a person who ends it does not wait.
    let serving = fleet.nodes[0].1.take().unwrap();
    serving.signal(Signal::INT);
    drop(serving);
}
