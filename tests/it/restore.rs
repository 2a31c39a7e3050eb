//! A dump that is restored elsewhere serves everything, with the secret key and not without it; and nodes notice that
//! their database was replaced under them.
use std::{fs, path::Path};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{TestApp, eventually, intune_document},
    binary::{Machine, Serving},
    cluster::Cluster,
    people::{PASSWORD, Person, leads_to},
    phone::Phone,
    second_factor, tls,
    webhooks::receiver::Receiver,
    wire::{ask, ask_target},
};

const EMAIL: &str = "ada@msp.example";
const ALLOW: (&str, &str) = ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8");

/// What somebody had before the disaster.
struct Before {
    /// Stopped; the dump lies there.
    _cluster: Cluster,
    state_dir: std::path::PathBuf,
    dump: std::path::PathBuf,
    organisation: Value,
    phone: Phone,
    certificate: Vec<u8>,
    share: String,
    endpoint: Value,
    receiver: Receiver,
}

impl Drop for Before {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.state_dir).ok();
    }
}

impl Before {
    async fn the_disaster() -> Self {
        let mut cluster = Cluster::start();
        let pool = cluster.pool().await;
        let receiver = Receiver::start().await;
        let app = TestApp::start_with(pool.clone(), &[ALLOW]).await;
        let owner = app.owner("Acme IT", EMAIL).await;
        let (phone, _) = second_factor::turn_on(&owner).await;
        let msp = app.program_of(&owner).await;
        msp.register("contoso.com").await;
        app.verify("contoso.com").await;
        let share = msp
            .post("/domains/contoso.com/share-links", json!({"expires_in_days": 7}))
            .await
            .json();
        let share = url::Url::parse(share["json_url"].as_str().unwrap()).unwrap();
        let endpoint = json!({"url": receiver.url(), "events": ["certificate.expiring"]});
        let endpoint = msp.post("/webhook-endpoints", endpoint).await;
        assert_eq!(endpoint.status, 201, "{}", endpoint.text);
        let certificate = certificate(app.https, &app.state_dir).await;
        let dump = cluster.dump();
        let organisation = json!({"organisation_id": msp.organisation_id, "token": msp.token});
        let state_dir = app.stop_for_a_while().await;
        pool.close().await;
        cluster.stop();
        Self {
            _cluster: cluster,
            state_dir,
            dump,
            organisation,
            phone,
            certificate,
            share: share.path().to_owned(),
            endpoint: endpoint.json(),
            receiver,
        }
    }

    /// A new machine with a new cluster, and of the old one what the handbook says.
    fn elsewhere(&self) -> (Cluster, Machine) {
        let cluster = Cluster::start();
        cluster.restore(&self.dump);
        let mut machine = Machine::bare();
        machine.set_database(&cluster.options());
        machine.set(ALLOW.0, ALLOW.1);
        fs::create_dir(machine.state_dir()).unwrap();
        for file in ["secret.key", "ca.pem", "ca.key.sealed"] {
            fs::copy(self.state_dir.join(file), machine.state_dir().join(file)).unwrap();
        }
        (cluster, machine)
    }
}

/// What devices of `contoso.com` are shown.
async fn certificate(https: std::net::SocketAddr, state_dir: &Path) -> Vec<u8> {
    let config = tls::trusting(&tls::roots_of(state_dir), tls::BOTH);
    let stream = tls::handshake(https, "contoso.com", config).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_dump_restored_elsewhere_with_the_secret_key_serves_everything() {
    let before = Before::the_disaster().await;
    let (cluster, machine) = before.elsewhere();
    let serving = machine.serve(&[]);
    // A device.
    let roots = tls::roots_of(&machine.state_dir());
    let reply = tls::ask_h1(serving.https, &roots, "contoso.com", "contoso.com", "").await;
    assert_eq!((reply.status, reply.body), (200, intune_document()));
    assert_eq!(
        certificate(serving.https, &machine.state_dir()).await,
        before.certificate
    );
    // A program, and somebody with a link.
    let msp = serving.program(&before.organisation);
    assert_eq!(msp.get("/domains/contoso.com").await.status, 200);
    assert_eq!(Person::at(serving.http).get(&before.share).await.status, 200);
    // A person, with password and code.
    let pool = cluster.pool().await;
    sqlx::query("update second_factors set last_step = -1")
        .execute(&pool)
        .await
        .unwrap();
    let person = Person::at(serving.http);
    let asked = person.sign_in(EMAIL, PASSWORD).await;
    assert!(leads_to(&asked).starts_with("/sign-in/second-factor"));
    let page = "/sign-in/second-factor";
    let code = before.phone.code(0);
    let let_in = person
        .submit_to(page, page, &[("code", &code), ("next", "/welcome")])
        .await;
    assert_eq!(leads_to(&let_in), "/welcome");
    assert!(person.get("/settings/security").await.status == 200);
    // A program that is told.
    let endpoint = before.endpoint["id"].as_str().unwrap();
    let sent = msp
        .call("POST", &format!("/webhook-endpoints/{endpoint}/test"), None)
        .await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    before.receiver.comes().await;
    let received = &before.receiver.received()[0];
    assert_eq!(received.json()["type"], "webhook.test");
    assert!(received.is_signed_by(before.endpoint["secret"].as_str().unwrap()));
    // And all goes on.
    msp.register("fabrikam.com").await;
    machine.run(&["domain", "verify", "fabrikam.com"]).succeeded();
    eventually(|| async { ask(serving.http, b"fabrikam.com", "").await.body == intune_document() }).await;
    assert!(serving.terminate().0.success());
}

#[tokio::test]
async fn without_the_secret_key_or_with_another_every_command_says_what_to_do() {
    let before = Before::the_disaster().await;
    let (_cluster, machine) = before.elsewhere();
    let key = machine.state_dir().join("secret.key");
    fs::remove_file(&key).unwrap();
    let commands: [&[&str]; 5] = [
        &["serve"],
        &["migrate"],
        &["operator", "list"],
        &["domain", "list"],
        &["org", "create", "--name", "Other", "--email", "o@msp.example"],
    ];
    let told = |command: &[&str]| {
        let ended = machine.run(command);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{command:?}: {}", ended.stderr);
        ended.stderr
    };
    for command in commands {
        let error = told(command);
        assert!(
            error.contains("SIGNPOST_SECRET_KEY_FILE") && error.contains("put the file back"),
            "{error}"
        );
        assert!(!key.exists(), "{command:?} made another one");
    }
    fs::write(&key, format!("sgk_{}\n", "A".repeat(43))).unwrap();
    for command in commands {
        let error = told(command);
        assert!(
            error.contains("holds none of the keys") && error.contains("put the right file there"),
            "{error}"
        );
    }
    fs::copy(before.state_dir.join("secret.key"), &key).unwrap();
    let serving = machine.serve(&[]);
    assert_eq!(ask(serving.http, b"contoso.com", "").await.body, intune_document());
}

/// Two domains in the dump; after it one was deleted, one changed and one added.
async fn moved_on(cluster: &Cluster, machine: &Machine) -> (Serving, std::path::PathBuf) {
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    for hostname in ["deleted.example", "changed.example"] {
        msp.register(hostname).await;
        machine.run(&["domain", "verify", hostname]).succeeded();
    }
    until(&serving, &[("deleted.example", 200), ("changed.example", 200)]).await;
    let dump = cluster.dump();
    assert_eq!(msp.delete("/domains/deleted.example").await.status, 204);
    let defer = json!({"policy": {"default": {"action": "defer"}}});
    assert_eq!(msp.patch("/domains/changed.example", defer).await.status, 200);
    msp.register("added.example").await;
    machine.run(&["domain", "verify", "added.example"]).succeeded();
    until(
        &serving,
        &[
            ("deleted.example", 404),
            ("changed.example", 404),
            ("added.example", 200),
        ],
    )
    .await;
    (serving, dump)
}

async fn until(serving: &Serving, expected: &[(&str, u16)]) {
    eventually(|| async {
        for (hostname, status) in expected {
            if ask(serving.http, hostname.as_bytes(), "").await.status != *status {
                return false;
            }
        }
        true
    })
    .await;
}

/// As the dump has it.
async fn until_set_back(serving: &Serving) {
    until(
        serving,
        &[
            ("deleted.example", 200),
            ("changed.example", 200),
            ("added.example", 404),
        ],
    )
    .await;
    let is_current = || async { ask_target(serving.ops, "localhost", b"/readyz").await.body == "ready\n" };
    eventually(is_current).await;
}

/// So that its transactions' numbers are beyond those that nodes have seen.
async fn age(pool: &PgPool) {
    for _ in 0..2_000 {
        sqlx::query("select pg_current_xact_id()").execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_running_node_notices_that_an_older_dump_stands_in_its_databases_place() {
    let mut cluster = Cluster::start();
    let mut machine = Machine::bare();
    machine.set_database(&cluster.options());
    let (serving, dump) = moved_on(&cluster, &machine).await;
    cluster.stop();
    let other = Cluster::in_place_of(&cluster);
    age(&other.pool().await).await;
    other.restore(&dump);
    until_set_back(&serving).await;
    assert!(serving.terminate().0.success());
}

#[tokio::test]
async fn a_running_node_notices_that_an_older_dump_was_loaded_over_its_tables() {
    let cluster = Cluster::start();
    let mut machine = Machine::bare();
    machine.set_database(&cluster.options());
    let (serving, dump) = moved_on(&cluster, &machine).await;
    cluster.restore_over(&dump);
    until_set_back(&serving).await;
    assert!(serving.terminate().0.success());
}

#[tokio::test]
async fn a_running_node_notices_that_a_database_with_an_older_dump_took_its_databases_name() {
    let cluster = Cluster::start();
    let mut machine = Machine::bare();
    machine.set_database(&cluster.options());
    let (serving, dump) = moved_on(&cluster, &machine).await;
    cluster.restore_beside(&dump);
    until_set_back(&serving).await;
    assert!(serving.terminate().0.success());
}
