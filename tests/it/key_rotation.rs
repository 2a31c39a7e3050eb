//! A new secret key: everything comes under it by itself, and then the old one is needed by nothing.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use signpost::{
    demo,
    keyring::KeyringError,
    rotation::{Column, Outcome, Rotation},
    sealed::Keyring,
    server,
};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    app::{Msp, TestApp, WELL_KNOWN, eventually, intune_document, settings},
    binary::Machine,
    outage::Outage,
    people::{PASSWORD, leads_to, link},
    tls,
    wire::{ask, ask_target},
};

/// The table, and its sealed column.
const SEALED: [(&str, &str); 17] = [
    ("certificates", "key_sealed"),
    ("acme_accounts", "key_sealed"),
    ("acme_orders", "key_sealed"),
    ("organisations", "user_digest_key"),
    ("users", "email_sealed"),
    ("users", "name_sealed"),
    ("registrations", "sealed"),
    ("invitations", "email_sealed"),
    ("outbox", "sealed"),
    ("second_factors", "secret_sealed"),
    ("email_changes", "email_sealed"),
    ("webhook_endpoints", "secret_sealed"),
    ("webhook_endpoints", "old_secret_sealed"),
    ("identity_providers", "client_secret_sealed"),
    ("single_sign_on_attempts", "sealed"),
    ("secrets", "sealed"),
    ("idempotency_keys", "answer_sealed"),
];
const CA: &str = "https://ca.example/directory";
const ORDER: uuid::Uuid = uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
const KEY: (&str, &str) = ("idempotency-key", "once");

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("signpost-it-{}-{name}", uuid::Uuid::now_v7()))
}

/// The line of a new key.
fn new_line() -> String {
    let path = temporary("key");
    Keyring::create(&path).map_err(|error| error.to_string()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    text
}

fn keyring_of(text: &str) -> Arc<Keyring> {
    let path = temporary("keys");
    fs::write(&path, text).unwrap();
    let keyring = Keyring::load(&path).map_err(|error| error.to_string()).unwrap();
    fs::remove_file(path).unwrap();
    Arc::new(keyring)
}

/// Makes `keyring` known to the database, as a start does.
async fn open(pool: &PgPool, text: &str) -> Result<Arc<Keyring>, KeyringError> {
    let path = temporary("file");
    fs::write(&path, text).unwrap();
    let mut tx = pool.begin().await.unwrap();
    let opened = signpost::keyring::open(&mut tx, &path).await;
    tx.commit().await.unwrap();
    fs::remove_file(path).unwrap();
    opened.map(Arc::new)
}

/// Rows of `table` that are not sealed under the first key of `keyring`.
async fn under_others(pool: &PgPool, keyring: &Keyring) -> Vec<(&'static str, usize)> {
    let mut found = Vec::new();
    for (table, column) in SEALED {
        let query = format!("select {column} from {table} where {column} is not null");
        let sealed: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(pool)
            .await
            .unwrap();
        assert!(!sealed.is_empty(), "{table} holds nothing to look at");
        let others = sealed.iter().filter(|sealed| !keyring.is_current(sealed)).count();
        found.extend((others > 0).then_some((table, others)));
    }
    found
}

/// Something in every table that is sealed, and a domain that is served.
async fn fill(app: &TestApp) -> (Msp, String) {
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    sign_up_and_invite(app, &msp).await;
    let keyring = app.running.keyring();
    let mut tx = app.pool.begin().await.unwrap();
    sqlx::query("insert into acme_accounts (issuer, key_sealed) values ($1, $2)")
        .bind(CA)
        .bind(keyring.seal(&format!("acme_accounts.key:{CA}"), b"account"))
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query(
        "insert into acme_orders (order_id, issuer, hostname, registered_domain, key_sealed, created_at)
         values ($1, $2, 'contoso.com', 'contoso.com', $3, now())",
    )
    .bind(ORDER)
    .bind(CA)
    .bind(keyring.seal(&format!("acme_orders.key:{ORDER}"), b"order"))
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let made = ask_for_token(&msp).await;
    (msp, made)
}

/// People who are, who wait for a mail, and who are invited.
async fn sign_up_and_invite(app: &TestApp, msp: &Msp) {
    app.owner("Acme Two", "ada@two.example").await;
    let fields = [
        ("organisation", "Acme Three"),
        ("name", "Grace Hopper"),
        ("email", "grace@three.example"),
        ("password", PASSWORD),
    ];
    let sent = app.person().submit("/sign-up", &fields).await;
    assert_eq!(leads_to(&sent), "/sign-up/sent");
    let invited = msp
        .post("/invitations", json!({"email": "linus@four.example", "role": "viewer"}))
        .await;
    assert_eq!(invited.status, 201, "{}", invited.text);
    let endpoint = json!({"url": "https://hooks.acme.example/", "events": ["certificate.failed"]});
    let endpoint = msp.post("/webhook-endpoints", endpoint).await.json();
    let rotate = format!("/webhook-endpoints/{}/rotate-secret", endpoint["id"].as_str().unwrap());
    assert_eq!(msp.call("POST", &rotate, None).await.status, 200);
    seal_for_ada(app).await;
}

/// What somebody has begun who sets up a second factor and moves to another address.
async fn seal_for_ada(app: &TestApp) {
    let keyring = app.running.keyring();
    let user: uuid::Uuid = sqlx::query_scalar("select user_id from sessions limit 1")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    for (statement, context) in [
        (
            "insert into second_factors (user_id, secret_sealed, created_at) values ($1, $2, now())",
            format!("second_factors.secret:{user}"),
        ),
        (
            "insert into email_changes (email_change_id, user_id, token_digest, email_sealed, created_at, expires_at)
             values ($1, $1, '', $2, now(), now() + interval '1 hour')",
            format!("email_changes.email:{user}"),
        ),
        (
            "insert into identity_providers (identity_provider_id, organisation_id, issuer, client_id, client_secret_sealed, created_at, changed_at)
             select $1, organisation_id, 'https://id.example', 'signpost', $2, now(), now() from sessions where user_id = $1 limit 1",
            format!("identity_providers.client_secret:{user}"),
        ),
        (
            "insert into single_sign_on_attempts (state_digest, browser_digest, identity_provider_id, sealed, created_at, expires_at)
             values ('\\xab01', '', $1, $2, now(), now() + interval '1 hour')",
            "single_sign_on_attempts:ab01".to_owned(),
        ),
    ] {
        let sealed = keyring.seal(&context, b"a secret");
        sqlx::query(statement)
            .bind(user)
            .bind(sealed)
            .execute(&app.pool)
            .await
            .unwrap();
    }
}

/// What was sealed before opens: who waits for a mail can go on, and names are known.
async fn people_go_on(app: &TestApp, msp: &Msp) {
    for (address, path) in [
        ("grace@three.example", "/sign-up/confirm/"),
        ("linus@four.example", "/invitations/"),
    ] {
        let link = link(&app.mails(address).await[0]);
        assert!(link.starts_with(path), "{link}");
        assert_eq!(app.person().get(&link).await.status, 200, "{link}");
    }
    let open = msp.get("/invitations").await.json();
    assert_eq!(open["data"][0]["email"], "linus@four.example");
    let ada = app.person();
    assert_eq!(leads_to(&ada.sign_in("ada@two.example", PASSWORD).await), "/");
    assert!(ada.get("/settings/members").await.text.contains("Ada Lovelace"));
}

/// The answer that holds a token, and is given again to the same request.
async fn ask_for_token(msp: &Msp) -> String {
    let body = json!({"name": "Script", "scopes": ["domains:read"]});
    let answer = msp.call_with("POST", "/tokens", Some(body), &[KEY]).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.text
}

async fn metric(app: &TestApp, line: &str) -> bool {
    let metrics = ask_target(app.ops, "localhost", b"/metrics").await;
    metrics.body.lines().any(|told| told == line)
}

/// Whether the metrics say that nothing needs an older key.
async fn is_through(app: &TestApp) -> bool {
    let metrics = ask_target(app.ops, "localhost", b"/metrics").await;
    let mut told = metrics.body.lines().filter(|line| line.contains("_under_old_keys"));
    let gauges: Vec<_> = told.by_ref().filter(|line| !line.starts_with('#')).collect();
    // Nothing is told of the tables before they were looked at.
    gauges.len() == SEALED.len() + 1 && gauges.iter().all(|line| line.ends_with(" 0"))
}

/// The certificate that a handshake shows.
async fn shown(app: &TestApp, name: &str) -> Vec<u8> {
    let roots = tls::roots_of(&app.state_dir);
    let stream = tls::handshake(app.https, name, tls::trusting(&roots, tls::BOTH)).await;
    let stream = stream.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn put(state_dir: &Path, lines: &[&str]) {
    fs::write(state_dir.join("secret.key"), lines.concat()).unwrap();
}

fn key_of(state_dir: &Path) -> String {
    fs::read_to_string(state_dir.join("secret.key")).unwrap()
}

#[sqlx::test]
async fn everything_comes_under_a_new_first_key_and_the_old_one_may_go(pool: PgPool) {
    let outage = Outage::of(&pool);
    let state_dir = temporary("state");
    let mut settings = settings(&pool, &state_dir, &[]);
    settings.database = Some(vec![outage.options()]);
    let app = TestApp::start_as(pool.clone(), state_dir.clone(), &settings).await;
    let (msp, made) = fill(&app).await;
    eventually(|| async { metric(&app, "signpost_certificates{state=\"valid\"} 3").await }).await;
    let certificate = shown(&app, "contoso.com").await;
    let portal = shown(&app, "portal.signpost.test").await;
    app.stop_for_a_while().await;
    let changes = || async {
        let count = "select count(*) from directory_changes";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap()
    };
    let logged = changes().await;

    let (old, new) = (key_of(&state_dir), new_line());
    let only_new = keyring_of(&new);
    put(&state_dir, &[&new, &old]);
    assert_eq!(under_others(&pool, &only_new).await.len(), SEALED.len());
    let app = TestApp::start_as(pool.clone(), state_dir.clone(), &settings).await;
    eventually(|| is_through(&app)).await;
    assert_eq!(under_others(&pool, &only_new).await, []);
    assert_eq!(shown(&app, "contoso.com").await, certificate, "what is served stays");
    assert_eq!(changes().await, logged, "no node was made to load anything again");
    app.stop_for_a_while().await;
    // Also what lies on the disk.
    let ca_key = fs::read(state_dir.join("ca.key.sealed")).unwrap();
    assert!(only_new.open("internal-ca.key", &ca_key).is_ok());

    put(&state_dir, &[&new]);
    let app = TestApp::start_as(pool.clone(), state_dir.clone(), &settings).await;
    let msp = app.program(msp.organisation_id, &msp.token);
    assert_eq!(shown(&app, "contoso.com").await, certificate);
    assert_eq!(shown(&app, "portal.signpost.test").await, portal);
    assert_eq!(
        ask_for_token(&msp).await,
        made,
        "an answer that was promised is given again"
    );
    let query = "?user-identifier=ada@contoso.com&model-family=Mac";
    assert_eq!(app.ask("contoso.com", query).await.text, intune_document());
    let account: Vec<u8> = sqlx::query_scalar("select key_sealed from acme_accounts")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        only_new.open(&format!("acme_accounts.key:{CA}"), &account).unwrap(),
        b"account"
    );
    let order: Vec<u8> = sqlx::query_scalar("select key_sealed from acme_orders")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        only_new.open(&format!("acme_orders.key:{ORDER}"), &order).unwrap(),
        b"order"
    );
    people_go_on(&app, &msp).await;
    // The CA's key and the installation's secrets open: something new can be made of each.
    msp.register("fabrikam.com").await;
    app.verify("fabrikam.com").await;
    shown(&app, "fabrikam.com").await;
    app.msp("Other IT").await;
    app.stop_for_a_while().await;

    outage.begin();
    let app = TestApp::start_as(pool.clone(), state_dir, &settings).await;
    assert_eq!(ask(app.http, b"contoso.com", "").await.body, intune_document());
    for name in [
        "contoso.com",
        "fabrikam.com",
        "portal.signpost.test",
        "edge.signpost.test",
    ] {
        shown(&app, name).await;
    }
    assert_eq!(shown(&app, "contoso.com").await, certificate, "from the snapshot");
    app.stop().await;
}

#[sqlx::test]
async fn a_snapshot_written_before_is_written_anew_also_without_a_restart_after(pool: PgPool) {
    let outage = Outage::of(&pool);
    let state_dir = temporary("state");
    let mut settings = settings(&pool, &state_dir, &[]);
    settings.database = Some(vec![outage.options()]);
    let app = TestApp::start_as(pool.clone(), state_dir.clone(), &settings).await;
    fill(&app).await;
    let certificate = shown(&app, "contoso.com").await;
    app.stop_for_a_while().await;
    let (old, new) = (key_of(&state_dir), new_line());
    put(&state_dir, &[&new, &old]);
    let app = TestApp::start_as(pool.clone(), state_dir.clone(), &settings).await;
    eventually(|| is_through(&app)).await;
    app.stop_for_a_while().await;

    // No start with the database in between.
    outage.begin();
    put(&state_dir, &[&new]);
    let app = TestApp::start_as(pool, state_dir, &settings).await;
    assert_eq!(shown(&app, "contoso.com").await, certificate);
    let told = WELL_KNOWN.to_owned() + "?user-identifier=ada@contoso.com";
    let answer = ask_target(app.http, "contoso.com", told.as_bytes()).await;
    assert_eq!(answer.body, intune_document());
    app.stop().await;
}

#[sqlx::test]
async fn a_copy_of_the_database_serves_with_the_new_key_alone(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (msp, _) = fill(&app).await;
    let state_dir = app.stop_for_a_while().await;
    let (old, new) = (key_of(&state_dir), new_line());
    let both = open(&pool, &[new.as_str(), &old].concat()).await.unwrap();
    let done = Rotation::new(pool.clone(), both).run_once().await.unwrap();
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");

    let options = (*pool.connect_options()).clone();
    pool.close().await;
    let copy = Copy::of(&options).await;
    let elsewhere = temporary("state");
    fs::create_dir(&elsewhere).unwrap();
    // The internal CA is no part of the database: a restore brings it along.
    fs::copy(state_dir.join("ca.pem"), elsewhere.join("ca.pem")).unwrap();
    let sealed = fs::read(state_dir.join("ca.key.sealed")).unwrap();
    let resealed = keyring_of(&[new.as_str(), &old].concat())
        .reseal("internal-ca.key", &sealed)
        .unwrap();
    fs::write(elsewhere.join("ca.key.sealed"), resealed).unwrap();
    put(&elsewhere, &[&new]);
    let restored = PgPoolOptions::new().connect_with(copy.options.clone()).await.unwrap();
    let app = TestApp::start_in(restored.clone(), elsewhere, &[]).await;
    assert_eq!(ask(app.http, b"contoso.com", "").await.body, intune_document());
    shown(&app, "contoso.com").await;
    let msp = app.program(msp.organisation_id, &msp.token);
    assert_eq!(msp.get("/domains").await.status, 200);
    app.stop().await;
    restored.close().await;
    copy.remove().await;
    fs::remove_dir_all(state_dir).unwrap();
}

/// What a dump and a restore make of a database.
struct Copy {
    server: PgConnectOptions,
    options: PgConnectOptions,
    name: String,
}

impl Copy {
    async fn of(original: &PgConnectOptions) -> Self {
        let name = format!("copy_{}", uuid::Uuid::now_v7().simple());
        let template = original.get_database().unwrap();
        let copy = Self {
            server: original.clone().database("postgres"),
            options: original.clone().database(&name),
            name: name.clone(),
        };
        copy.run(&format!("create database {name} template \"{template}\""))
            .await;
        copy
    }

    async fn remove(self) {
        self.run(&format!("drop database {}", self.name)).await;
    }

    async fn run(&self, statement: &str) {
        let mut db = PgConnection::connect_with(&self.server).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&mut db)
            .await
            .unwrap();
        db.close().await.unwrap();
    }
}

#[sqlx::test]
async fn a_key_that_is_still_needed_is_missed_at_the_start(pool: PgPool) {
    let machine = Machine::new(&pool);
    machine.create_organisation("Acme IT");
    let file = machine.state_dir().join("secret.key");
    let (old, new) = (fs::read_to_string(&file).unwrap(), new_line());
    // The new key is known, and yet not enough.
    fs::write(&file, [old.as_str(), &new].concat()).unwrap();
    machine.run(&["org", "list"]).succeeded();
    fs::write(&file, &new).unwrap();
    for command in [&["serve"][..], &["org", "list"], &["migrate"]] {
        let line = machine.run(command).failed();
        let old = keyring_of(&old).current();
        for words in [
            "signpost: SIGNPOST_SECRET_KEY_FILE: ",
            "lacks a key that is still needed",
            "1 rows of organisations",
            "1 rows of users",
            &format!("sealed under {old}"),
            "Put it back",
        ] {
            assert!(line.contains(words), "{command:?}: {line}: no {words}");
        }
    }
    fs::write(&file, [new.as_str(), &old].concat()).unwrap();
    assert!(machine.run(&["org", "list"]).succeeded().contains("Acme IT"));
    let shown = machine.run(&["check-config"]).succeeded();
    let ids = [&new, &old].map(|line| keyring_of(line).current());
    let line = format!(
        "secret keys                  the first seals, each opens: {}, {}\n",
        ids[0], ids[1]
    );
    assert!(shown.ends_with(&line), "{shown}");
}

/// So many secrets, the first of which is no secret of ours.
async fn insert_secrets(pool: &PgPool, keyring: &Keyring, count: usize) {
    let names: Vec<_> = (0..count).map(|number| format!("s{number:05}")).collect();
    let seal = |name: &String| keyring.seal(&format!("secrets:{name}"), name.as_bytes());
    let mut sealed: Vec<_> = names.iter().map(seal).collect();
    *sealed[0].last_mut().unwrap() ^= 1;
    sqlx::query("insert into secrets (name, sealed) select * from unnest($1::text[], $2::bytea[])")
        .bind(&names)
        .bind(&sealed)
        .execute(pool)
        .await
        .unwrap();
}

async fn secrets_under(pool: &PgPool, keyring: &Keyring) -> usize {
    let sealed: Vec<Vec<u8>> = sqlx::query_scalar("select sealed from secrets")
        .fetch_all(pool)
        .await
        .unwrap();
    sealed.iter().filter(|sealed| keyring.is_current(sealed)).count()
}

#[sqlx::test]
async fn many_rows_come_under_it_in_batches_and_what_does_not_open_stops_nothing(pool: PgPool) {
    let (old, new) = (new_line(), new_line());
    let before = open(&pool, &old).await.unwrap();
    insert_secrets(&pool, &before, 1_301).await;
    let both = open(&pool, &[new.as_str(), &old].concat()).await.unwrap();
    let rotation = Rotation::new(pool.clone(), both);
    assert_eq!(rotation.run_once().await.unwrap(), Outcome::Stuck { rows: 1 });
    let only_new = keyring_of(&new);
    assert_eq!(secrets_under(&pool, &only_new).await, 1_300);
    let last: Vec<u8> = sqlx::query_scalar("select sealed from secrets where name = 's01300'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(only_new.open("secrets:s01300", &last).unwrap(), b"s01300");
    let left: Vec<_> = rotation.left.iter().filter(|(_, rows)| *rows > 0).collect();
    assert_eq!(left, [("secrets", 1)]);
    assert!(
        rotation
            .left
            .iter()
            .map(|(table, _)| table)
            .eq(Column::ALL.map(Column::as_str))
    );

    sqlx::query("delete from secrets where name = 's00000'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(rotation.run_once().await.unwrap(), Outcome::Done { resealed: 0 });
    assert_eq!(rotation.run_once().await.unwrap(), Outcome::Nothing);
}

#[sqlx::test]
async fn of_two_nodes_one_does_it_and_one_with_an_older_first_key_undoes_nothing(pool: PgPool) {
    let (old, new) = (new_line(), new_line());
    let before = open(&pool, &old).await.unwrap();
    insert_secrets(&pool, &before, 1_001).await;
    sqlx::query("delete from secrets where name = 's00000'")
        .execute(&pool)
        .await
        .unwrap();
    // First every node learns the key, then every node puts it first.
    let last = open(&pool, &[old.as_str(), &new].concat()).await.unwrap();
    let first = open(&pool, &[new.as_str(), &old].concat()).await.unwrap();
    let late = Rotation::new(pool.clone(), last);
    assert_eq!(late.run_once().await.unwrap(), Outcome::Outdated);
    let nodes = [(); 2].map(|()| Rotation::new(pool.clone(), first.clone()));
    let (one, other) = tokio::join!(nodes[0].run_once(), nodes[1].run_once());
    let outcomes = [one.unwrap(), other.unwrap()];
    let by_hand = |outcome: &Outcome| match outcome {
        Outcome::Done { resealed } => *resealed,
        _ => 0,
    };
    assert!(outcomes.iter().map(by_hand).sum::<u64>() <= 1_000, "{outcomes:?}");
    // Whoever stepped back is followed by the next run.
    nodes[0].run_once().await.unwrap();
    assert_eq!(secrets_under(&pool, &first).await, 1_000);
    assert_eq!(late.run_once().await.unwrap(), Outcome::Outdated);
    assert_eq!(secrets_under(&pool, &first).await, 1_000);
    // A node that starts late with the old order is no newer for it.
    let again = open(&pool, &[old.as_str(), &new].concat()).await.unwrap();
    let again = Rotation::new(pool.clone(), again);
    assert_eq!(again.run_once().await.unwrap(), Outcome::Outdated);
    assert_eq!(secrets_under(&pool, &first).await, 1_000);
}

#[sqlx::test]
async fn what_is_written_meanwhile_is_not_lost(pool: PgPool) {
    let (old, new) = (new_line(), new_line());
    let before = open(&pool, &old).await.unwrap();
    insert_secrets(&pool, &before, 3).await;
    let both = open(&pool, &[new.as_str(), &old].concat()).await.unwrap();
    let rotation = Rotation::new(pool.clone(), both.clone());
    // Another's value, written before ours and committed when ours waits for it.
    let theirs = before.seal("secrets:s00001", b"theirs");
    let mut other = pool.begin().await.unwrap();
    sqlx::query("update secrets set sealed = $1 where name = 's00001'")
        .bind(&theirs)
        .execute(&mut *other)
        .await
        .unwrap();
    let commit_when_waited_for = async {
        eventually(|| async {
            let waiting =
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() > 0
        })
        .await;
        other.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(rotation.run_once(), commit_when_waited_for);
    assert_eq!(outcome.unwrap(), Outcome::Stuck { rows: 2 });
    let kept: Vec<u8> = sqlx::query_scalar("select sealed from secrets where name = 's00001'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, theirs);
    rotation.run_once().await.unwrap();
    let sealed: Vec<u8> = sqlx::query_scalar("select sealed from secrets where name = 's00001'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(keyring_of(&new).open("secrets:s00001", &sealed).unwrap(), b"theirs");
}

#[sqlx::test]
async fn a_new_key_changes_no_demo_token(pool: PgPool) {
    let state_dir = temporary("state");
    let own = server::own(&settings(&pool, &state_dir, &[]));
    let (old, new) = (new_line(), new_line());
    let mut tokens = Vec::new();
    for lines in [old.clone(), [new.as_str(), &old].concat(), new] {
        let keyring = open(&pool, &lines).await.unwrap();
        let token = demo::fill(&pool, &keyring, &own, &[]).await.unwrap();
        tokens.push(token.expose().to_owned());
        Rotation::new(pool.clone(), keyring).run_once().await.unwrap();
    }
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2]);
    fs::remove_dir_all(state_dir).ok();
}
