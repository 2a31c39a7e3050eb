//! One node and two, killed and cut off at random moments, again and again.
use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use sqlx::PgPool;

use super::{
    judge::{Door, Judge},
    random,
};
use crate::{
    acme::cluster::hostnames,
    app::{TENANT, WELL_KNOWN, eventually},
    binary::Machine,
    outage::Outage,
    process::free_port,
    wire::ask_target,
};

const ROUNDS: usize = 12;

#[sqlx::test]
async fn what_was_answered_is_logged_once_however_often_the_node_is_killed_and_the_database_goes(pool: PgPool) {
    let outage = Outage::of(&pool);
    let mut machine = Machine::bare();
    machine.set_database(&outage.options());
    machine.set("SIGNPOST_ENTRA_URLS", "global=http://127.0.0.1:9");
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
    machine.set("SIGNPOST_HTTP_ADDR", &http.to_string());
    let organisation = machine.create_organisation("Acme IT");
    let mut serving = machine.serve(&[]);
    let names = hostnames("faults", 5);
    let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT, "cloud": "global"}});
    let rows: Vec<_> = names
        .iter()
        .map(|hostname| json!({"hostname": hostname, "client_name": "Contoso", "server": server}))
        .collect();
    let answer = serving
        .program(&organisation)
        .post("/domains/import", json!({"dry_run": false, "rows": rows}))
        .await;
    assert!(answer.status < 300, "{}", answer.text);
    machine
        .run_with(&["domain", "verify", "-"], &names.join("\n"))
        .succeeded();
    // A node that starts without the database needs a snapshot that knows them.
    let snapshot = machine.state_dir();
    eventually(|| async { knows(&snapshot, &names) }).await;
    for name in &names {
        // Not logged, so not in the judge's way.
        let target = format!("{WELL_KNOWN}?user-identifier=signpost-check@{name}");
        eventually(|| async { ask_target(http, name, target.as_bytes()).await.status == 200 }).await;
    }

    let judge = Judge::start(Door::Http(http), &names, 4);
    for round in 0..ROUNDS {
        judge.more(20).await;
        tokio::time::sleep(Duration::from_millis(random(400))).await;
        // By turns: the node alone, the database alone, both.
        if round % 3 != 0 {
            outage.begin();
            tokio::time::sleep(Duration::from_millis(random(600))).await;
        }
        if round % 3 != 1 {
            serving.kill();
            if round % 2 == 0 {
                outage.end();
            }
            serving = machine.serve(&[]);
        }
        judge.more(20).await;
        outage.end();
    }
    judge.more(20).await;
    let heard = judge.rest().await;
    heard.is_true();
    heard.is_logged(&pool).await;
    let (status, _) = serving.terminate();
    assert!(status.success());
}

/// Whether the last directory on disk has these names in it.
fn knows(state_dir: &std::path::Path, names: &[String]) -> bool {
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
