//! Who owns a hostname, seen with real name servers.
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    app::{Msp, TestApp, eventually},
    faults::dns::{Broken, BrokenDns, Record, TestDns, a, delegated, txt},
};

const HOST: &str = "contoso.test";
const NAME: &str = "_signpost.contoso.test";

async fn start(pool: PgPool, records: &[Record]) -> (TestApp, TestDns) {
    let dns = TestDns::start(records);
    let app = TestApp::start_with(pool, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    (app, dns)
}

fn value(domain: &Value) -> String {
    domain["ownership"]["record"]["value"].as_str().unwrap().to_owned()
}

async fn check(msp: &Msp) -> Value {
    let answer = msp.post(&format!("/domains/{HOST}/check"), json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn step(domain: &Value) -> (&str, &str, &str) {
    (
        domain["status"].as_str().unwrap(),
        domain["next_action"]["code"].as_str().unwrap_or(""),
        domain["next_action"]["cause"].as_str().unwrap_or(""),
    )
}

async fn shift(pool: &PgPool, statement: &'static str) {
    let changed = sqlx::query(statement).execute(pool).await.unwrap();
    assert_eq!(changed.rows_affected(), 1, "{statement}");
}

#[sqlx::test]
async fn a_claim_that_proves_nothing_keeps_no_certificate_from_the_holder(pool: PgPool) {
    let (app, mut dns) = start(pool, &[]).await;
    let rival = app.msp("Rival").await;
    rival.register(HOST).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register(HOST).await;
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&value(&domain)])]);
    check(&msp).await;
    let seen = || async { msp.get("/domains/contoso.test").await.json() };
    eventually(|| async { seen().await["status"] == "active" }).await;
    assert_eq!(seen().await["certificate"]["state"], "valid");
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_goes_from_registered_to_answering_with_no_hand_but_the_client_s(pool: PgPool) {
    let (app, mut dns) = start(pool, &[a(HOST, "127.0.0.2")]).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register(HOST).await;
    assert_eq!(domain["status"], "pending_ownership");
    let seen = || async { msp.get("/domains/contoso.test").await.json() };
    eventually(|| async { seen().await["ownership"]["checked_at"].is_string() }).await;
    let domain = seen().await;
    assert_eq!(
        step(&domain),
        ("pending_ownership", "add_ownership_record", "record_missing")
    );
    assert_eq!(
        domain["dns"]["records"][0]["observed"],
        json!(["127.0.0.2"]),
        "both are looked at from the start"
    );

    dns.change(&[a(HOST, "127.0.0.2"), txt(NAME, &[&value(&domain)])]);
    let domain = check(&msp).await;
    assert_eq!(step(&domain), ("pending_dns", "fix_dns", "address_elsewhere"));
    assert_eq!(domain["next_action"]["actor"], "client");
    eventually(|| async { app.ask(HOST, "").await.status == 200 }).await;

    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&value(&domain)])]);
    check(&msp).await;
    eventually(|| async { seen().await["status"] == "active" }).await;
    let domain = seen().await;
    assert_eq!(
        (&domain["next_action"], &domain["dns"]["ok"]),
        (&Value::Null, &json!(true))
    );
    let events = msp.get("/audit-events").await.json();
    let verified = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["action"] == "domain.verified");
    assert_eq!(verified.unwrap()["actor"]["type"], "signpost", "{events:#}");
    app.stop().await;
}

#[sqlx::test]
async fn the_record_is_found_among_others_in_pieces_and_as_one_of_several_values(pool: PgPool) {
    let (app, mut dns) = start(pool, &[]).await;
    let msp = app.msp("Acme IT").await;
    let other = app.msp("Other IT").await;
    let value = value(&msp.register(HOST).await);
    let others = self::value(&other.register(HOST).await);
    // Its record stands there below; it does not claim the name any more.
    assert_eq!(other.delete("/domains/contoso.test").await.status, 204);
    assert_ne!(value, others);
    let (head, tail) = value.split_at(30);
    for (records, expected) in [
        (vec![], "record_missing"),
        (vec![txt(NAME, &["v=spf1 -all"])], "record_wrong"),
        (vec![txt(NAME, &[&others])], "record_of_another"),
        (vec![txt("contoso.test", &[&value])], "record_misplaced"),
        (
            vec![txt("_signpost.contoso.test.contoso.test", &[&value])],
            "record_misplaced",
        ),
        (vec![txt(NAME, &[&value[..40]])], "record_wrong"),
    ] {
        dns.change(&records);
        let domain = check(&msp).await;
        assert_eq!(
            step(&domain),
            ("pending_ownership", "add_ownership_record", expected),
            "{records:?}"
        );
        assert!(domain["next_action"]["message"].as_str().unwrap().contains(&value));
    }
    // Each as the first proof of a domain registered anew.
    for records in [
        vec![txt(NAME, &[head, tail])],
        vec![txt(NAME, &["v=spf1 -all"]), txt(NAME, &[&others]), txt(NAME, &[&value])],
        vec![txt(NAME, &[&format!("{others} {value}")])],
    ] {
        dns.change(&records);
        let domain = check(&msp).await;
        assert_eq!(domain["status"], "pending_dns", "{records:?}: {domain:#}");
        assert_eq!(msp.delete("/domains/contoso.test").await.status, 204);
        msp.register(HOST).await;
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_newer_proof_takes_over_after_notice_and_grace(pool: PgPool) {
    let (app, mut dns) = start(pool.clone(), &[]).await;
    let holder = app.msp("Holder").await;
    let rival = app.msp("Rival").await;
    let held = value(&holder.register(HOST).await);
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&held])]);
    assert!(check(&holder).await["ownership"]["verified_at"].is_string());
    let claimed = value(
        &rival
            .register_intune(HOST, "99999999-2222-3333-4444-555555555555", "global")
            .await,
    );
    eventually(|| async { app.running.serves(HOST) }).await;

    // Without a proof the claim is worth nothing; nor does the holder hear of it.
    assert_eq!(step(&check(&rival).await).0, "pending_ownership");
    eventually(|| async { holder.get("/domains/contoso.test").await.json()["status"] == "active" }).await;

    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&held]), txt(NAME, &[&claimed])]);
    assert_eq!(
        step(&check(&rival).await),
        ("pending_ownership", "wait_for_take_over", "held_by_another")
    );
    let told = check(&holder).await;
    assert_eq!(step(&told), ("attention", "settle_ownership", "newer_proof_of_another"));
    assert!(!told.to_string().contains("Rival"), "{told:#}");
    let tenant = |text: String| text.contains("11111111");
    assert!(tenant(app.ask(HOST, "").await.text), "the holder is served until then");

    // The holder has the other's record removed: the take-over is called off.
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&held])]);
    assert_eq!(
        step(&check(&rival).await),
        ("pending_ownership", "add_ownership_record", "record_of_another")
    );
    assert_eq!(step(&check(&holder).await).0, "active");

    // It comes back, and the grace goes by.
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&held]), txt(NAME, &[&claimed])]);
    check(&rival).await;
    shift(
        &pool,
        "update domains set takes_over_at = now() where takes_over_at is not null",
    )
    .await;
    let taken = check(&rival).await;
    assert!(taken["ownership"]["verified_at"].is_string(), "{taken:#}");
    assert_eq!(taken["status"], "active", "the certificate goes with the name");
    eventually(|| async { !tenant(app.ask(HOST, "").await.text) }).await;
    let lost = check(&holder).await;
    assert_eq!(
        step(&lost),
        ("pending_ownership", "renew_ownership_record", "record_may_be_old")
    );
    for (msp, action) in [
        (&holder, "domain.taken_over"),
        (&holder, "domain.contested"),
        (&rival, "domain.takes_over"),
    ] {
        let events = msp.get("/audit-events").await.text;
        assert!(events.contains(action), "{action}: {events}");
    }
    assert_eq!(holder.delete("/domains/contoso.test").await.status, 204);
    eventually(|| async { app.ask(HOST, "").await.status == 200 }).await;
    app.stop().await;
}

#[sqlx::test]
async fn a_record_from_an_earlier_time_takes_nobody_s_name_not_even_after_it_was_given_up(pool: PgPool) {
    let (app, mut dns) = start(pool, &[]).await;
    let former = app.msp("Former").await;
    let holder = app.msp("Holder").await;
    let old = value(&former.register(HOST).await);
    assert_eq!(former.delete("/domains/contoso.test").await.status, 204);
    let held = value(&holder.register(HOST).await);
    dns.change(&[txt(NAME, &[&old]), txt(NAME, &[&held])]);
    assert_eq!(step(&check(&holder).await).0, "pending_dns");

    former.register(HOST).await;
    let stale = ("pending_ownership", "renew_ownership_record", "record_may_be_old");
    assert_eq!(step(&check(&former).await), stale);
    assert_eq!(step(&check(&holder).await).0, "pending_dns");
    assert_eq!(holder.delete("/domains/contoso.test").await.status, 204);
    assert_eq!(step(&check(&former).await), stale, "the tombstone");

    // The one who gave it up may have it again at once; so may who proves anew.
    holder.register(HOST).await;
    assert_eq!(step(&check(&holder).await).0, "pending_dns");
    assert_eq!(holder.delete("/domains/contoso.test").await.status, 204);
    dns.change(&[]);
    check(&former).await;
    dns.change(&[txt(NAME, &[&old])]);
    assert_eq!(step(&check(&former).await).0, "pending_dns");
    app.stop().await;
}

#[sqlx::test]
async fn a_lost_proof_is_told_for_seven_days_and_then_ends_service(pool: PgPool) {
    let (app, mut dns) = start(pool.clone(), &[]).await;
    let msp = app.msp("Acme IT").await;
    let value = value(&msp.register(HOST).await);
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&value])]);
    check(&msp).await;
    eventually(|| async { app.running.serves(HOST) }).await;

    dns.change(&[a(HOST, "127.0.0.1")]);
    let domain = check(&msp).await;
    assert_eq!(
        step(&domain),
        ("attention", "restore_ownership_record", "record_missing")
    );
    assert_eq!(app.ask(HOST, "").await.status, 200);
    shift(
        &pool,
        "update domain_checks set ownership_missing_since = now() - interval '6 days 23 hours'",
    )
    .await;
    assert_eq!(step(&check(&msp).await).0, "attention");
    shift(
        &pool,
        "update domain_checks set ownership_missing_since = now() - interval '7 days'",
    )
    .await;
    assert_eq!(step(&check(&msp).await).0, "pending_ownership");
    eventually(|| async { app.ask(HOST, "").await.status == 404 }).await;

    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&value])]);
    assert_eq!(step(&check(&msp).await).0, "active");
    eventually(|| async { app.ask(HOST, "").await.status == 200 }).await;
    app.stop().await;
}

#[sqlx::test]
async fn a_resolver_that_denies_every_name_takes_nobody_s_proof(pool: PgPool) {
    let lost = BrokenDns::start(Broken::DeniesEverything);
    let (app, mut dns) = start(pool, &[]).await;
    let msp = app.msp("Acme IT").await;
    let value = value(&msp.register(HOST).await);
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&value])]);
    check(&msp).await;
    eventually(|| async { app.running.serves(HOST) }).await;
    dns.change(&[
        delegated("test", lost.socket_address()),
        delegated("root-servers.net", lost.socket_address()),
    ]);
    let domain = check(&msp).await;
    assert_ne!(domain["next_action"]["code"], "restore_ownership_record", "{domain:#}");
    dns.change(&[delegated("test", lost.socket_address())]);
    let domain = check(&msp).await;
    assert_eq!(domain["next_action"]["code"], "restore_ownership_record", "{domain:#}");
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_s_word_needs_no_record_and_names_the_organisation_where_several_claim(pool: PgPool) {
    let (app, _dns) = start(pool.clone(), &[a(HOST, "127.0.0.1")]).await;
    let first = app.msp("First").await;
    let second = app.msp("Second").await;
    first.register(HOST).await;
    app.verify(HOST).await;
    assert_eq!(step(&check(&first).await).0, "active");
    second.register(HOST).await;
    let say = |organisation_id| {
        let pool = pool.clone();
        async move {
            let mut tx = pool.begin().await.unwrap();
            let operator = signpost::accounts::Operator::at_the_command_line();
            let hostname = signpost::hostname::Hostname::parse(HOST).unwrap();
            let now = crate::clock::now();
            let said =
                signpost::domains::verify(&mut tx, operator, &hostname, organisation_id, crate::clock::assume(now))
                    .await;
            tx.commit().await.unwrap();
            said.map_err(|error| error.to_string())
        }
    };
    let error = say(None).await.unwrap_err();
    assert!(
        error.contains("--organisation") && error.contains("(Second)"),
        "{error}"
    );
    say(Some(second.organisation_id)).await.unwrap();
    assert_eq!(step(&check(&second).await).0, "active");
    assert_eq!(step(&check(&first).await).0, "pending_ownership");
    app.stop().await;
}

#[sqlx::test]
async fn a_claim_on_an_apex_neither_captures_nor_blocks_its_subdomains(pool: PgPool) {
    let (app, mut dns) = start(pool, &[]).await;
    let apex = app.msp("Apex").await;
    let below = app.msp("Below").await;
    let record = value(&apex.register(HOST).await);
    let other = value(&below.register("mail.contoso.test").await);
    dns.change(&[txt(NAME, &[&record]), txt("_signpost.mail.contoso.test", &[&other])]);
    assert!(check(&apex).await["ownership"]["verified_at"].is_string());
    let domain = below.post("/domains/mail.contoso.test/check", json!({})).await.json();
    assert!(domain["ownership"]["verified_at"].is_string(), "{domain:#}");
    // The apex's proof is none for what is below it.
    apex.register("www.contoso.test").await;
    let domain = apex.post("/domains/www.contoso.test/check", json!({})).await.json();
    assert_eq!(domain["ownership"]["verified_at"], Value::Null);
    app.stop().await;
}

#[sqlx::test]
async fn a_name_server_that_hangs_holds_up_nobody_else(pool: PgPool) {
    let silent = BrokenDns::start(Broken::Silent);
    let (app, _dns) = start(
        pool,
        &[a(HOST, "127.0.0.1"), delegated("silent.test", silent.socket_address())],
    )
    .await;
    let msp = app.msp("Acme IT").await;
    for index in 0..20 {
        msp.register(&format!("n{index}.silent.test")).await;
    }
    msp.register(HOST).await;
    let seen = || async { msp.get("/domains/contoso.test").await.json()["ownership"]["checked_at"].is_string() };
    eventually(seen).await;
    assert_eq!(
        msp.get("/domains/n19.silent.test").await.json()["ownership"]["checked_at"],
        Value::Null,
        "those are still waited for"
    );
    app.stop().await;
}

#[sqlx::test]
async fn of_several_nodes_one_looks_at_a_domain_and_what_was_seen_last_counts(pool: PgPool) {
    use signpost::{accounts::Operator, domains::checks::store};
    let (app, _dns) = start(pool.clone(), &[]).await;
    let msp = app.msp("Acme IT").await;
    msp.register(HOST).await;
    eventually(|| async { msp.get("/domains/contoso.test").await.json()["ownership"]["checked_at"].is_string() }).await;
    app.stop().await;
    let now = crate::clock::database_now();
    shift(
        &pool,
        "update domain_checks set due_at = now() - interval '1 hour', lease_until = null",
    )
    .await;
    let until = now + chrono::TimeDelta::minutes(3);
    let id: uuid::Uuid = sqlx::query_scalar("select domain_id from domains")
        .fetch_one(&pool)
        .await
        .unwrap();
    let claim = || async {
        let mut db = pool.acquire().await.unwrap();
        store::claim_due(&mut db, Operator::checking(), &[id], (now, until))
            .await
            .unwrap()
    };
    let (one, two) = tokio::join!(claim(), claim());
    assert_eq!(one.len() + two.len(), 1);
    let first = one.into_iter().chain(two).next().unwrap();
    let mut db = pool.acquire().await.unwrap();
    assert!(store::confirm(&mut db, first).await.unwrap());
    // The first node oversleeps.
    let later = (until, until + chrono::TimeDelta::minutes(3));
    let late = store::claim_due(&mut db, Operator::checking(), &[id], later).await;
    assert_eq!(late.unwrap().len(), 1);
    assert!(!store::confirm(&mut db, first).await.unwrap());
}

#[sqlx::test]
async fn one_organisation_s_dead_name_servers_hold_up_no_other_organisation(pool: PgPool) {
    let silent = BrokenDns::start(Broken::Silent);
    let (app, _dns) = start(
        pool.clone(),
        &[a(HOST, "127.0.0.1"), delegated("silent.test", silent.socket_address())],
    )
    .await;
    let many = app.msp("Many").await;
    let other = app.msp("Other").await;
    many.register("n0.silent.test").await;
    sqlx::query(
        "with new as (
              insert into domains (domain_id, organisation_id, client_id, hostname, connection, policy)
              select gen_random_uuid(), organisation_id, client_id, 'm' || number || '.silent.test', connection, policy
                from domains, generate_series(1, 300) number
           returning domain_id)
         insert into domain_checks (domain_id, due_at) select domain_id, now() - interval '1 hour' from new",
    )
    .execute(&pool)
    .await
    .unwrap();
    let leased = || async {
        let leased = "select count(*) from domain_checks where lease_until is not null";
        sqlx::query_scalar::<_, i64>(leased).fetch_one(&pool).await.unwrap()
    };
    eventually(|| async { leased().await >= 32 }).await;
    other.register(HOST).await;
    let seen = || async { other.get("/domains/contoso.test").await.json()["ownership"]["checked_at"].is_string() };
    eventually(seen).await;
    let unseen = "select count(*) from domain_checks where ownership_failure is null and connection_observed is null";
    let unseen = sqlx::query_scalar::<_, i64>(unseen).fetch_one(&pool).await.unwrap();
    assert!(unseen > 200, "{unseen}: they are still waited for");
    let stop = std::time::Instant::now();
    app.stop().await;
    assert!(
        stop.elapsed() < std::time::Duration::from_secs(10),
        "{:?}",
        stop.elapsed()
    );
}

/// Organisations of strangers who signed up, each with this many names whose name servers never answer.
async fn strangers_with_dead_names(pool: &PgPool, organisations: i32, names: i32) {
    sqlx::query(
        "with made as (
              insert into organisations (organisation_id, name, user_digest_key, ownership_key)
              select gen_random_uuid(), 'Stranger ' || number, '\\x00', '\\x00' from generate_series(1, $1) number
           returning organisation_id),
         clients_made as (
              insert into clients (client_id, organisation_id, name)
              select gen_random_uuid(), organisation_id, 'Client' from made
           returning client_id, organisation_id),
         new as (
              insert into domains (domain_id, organisation_id, client_id, hostname, connection, policy)
              select gen_random_uuid(), organisation_id, client_id,
                     'm' || number || '-' || replace(organisation_id::text, '-', '') || '.silent.test', 'direct',
                     '{\"default\": {\"action\": \"defer\"}, \"rules\": []}'
                from clients_made, generate_series(1, $2) number
           returning domain_id)
         insert into domain_checks (domain_id, due_at) select domain_id, now() - interval '1 hour' from new",
    )
    .bind(organisations)
    .bind(names)
    .execute(pool)
    .await
    .unwrap();
}

#[sqlx::test]
async fn fifty_strangers_with_dead_names_hold_up_no_other_organisation(pool: PgPool) {
    let silent = BrokenDns::start(Broken::Silent);
    let (app, _dns) = start(
        pool.clone(),
        &[
            a(HOST, "127.0.0.1"),
            a("fabrikam.test", "127.0.0.1"),
            delegated("silent.test", silent.socket_address()),
        ],
    )
    .await;
    strangers_with_dead_names(&pool, 50, 80).await;
    let leased = || async {
        let leased = "select count(*) from domain_checks where lease_until is not null";
        sqlx::query_scalar::<_, i64>(leased).fetch_one(&pool).await.unwrap()
    };
    eventually(|| async { leased().await >= 32 }).await;
    assert_eq!(leased().await, 32, "strangers have half of the places together");
    let by_organisation = "select max(count) from (select count(*) from domain_checks
                            where lease_until is not null group by organisation_id) of_each";
    let most: i64 = sqlx::query_scalar(by_organisation).fetch_one(&pool).await.unwrap();
    assert_eq!(most, 1, "and share them");

    // One that an operator made, and a stranger whose name servers answer.
    let (made, signed_up) = (app.msp("Made by an operator").await, app.msp("Signed up").await);
    sqlx::query("update organisations set trusted_at = null where organisation_id = $1")
        .bind(signed_up.organisation_id)
        .execute(&pool)
        .await
        .unwrap();
    made.register(HOST).await;
    signed_up.register("fabrikam.test").await;
    for (msp, path) in [(&made, "/domains/contoso.test"), (&signed_up, "/domains/fabrikam.test")] {
        eventually(|| async { msp.get(path).await.json()["ownership"]["checked_at"].is_string() }).await;
    }
    let unseen = "select count(*) from domain_checks where ownership_failure is null and connection_observed is null";
    let unseen = sqlx::query_scalar::<_, i64>(unseen).fetch_one(&pool).await.unwrap();
    assert!(unseen > 3_000, "{unseen}: the strangers' names still wait");
    app.stop().await;
}

#[sqlx::test]
async fn an_organisation_that_signed_up_may_have_few_unverified_domains(pool: PgPool) {
    let app = TestApp::start_with(pool.clone(), &[("SIGNPOST_UNVERIFIED_DOMAINS", "2")]).await;
    let (stranger, made) = (app.msp("Signed up").await, app.msp("Made by an operator").await);
    sqlx::query("update organisations set trusted_at = null where organisation_id = $1")
        .bind(stranger.organisation_id)
        .execute(&pool)
        .await
        .unwrap();
    let body = |hostname: &str| {
        let server = json!({"vendor": "intune", "parameters": {"tenant_id": crate::app::TENANT}});
        json!({"hostname": hostname, "client_name": "Contoso", "server": server})
    };
    // Two at the same moment are counted one after the other.
    let (one, two, three) = tokio::join!(
        stranger.post("/domains", body("a.example")),
        stranger.post("/domains", body("b.example")),
        stranger.post("/domains", body("c.example")),
    );
    let mut statuses = [one.status, two.status, three.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409]);
    let problem = stranger
        .post("/domains", body("d.example"))
        .await
        .problem(409, "conflict");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("has 2 domains that are not verified") && detail.contains("may have 2"),
        "{detail}"
    );
    let rows = json!([body("e.example"), {"hostname": "-"}]);
    let imported = stranger
        .post("/domains/import", json!({"dry_run": true, "rows": rows}))
        .await;
    assert!(imported.text.contains("not verified yet"), "{}", imported.text);

    // The limit grows with what is verified.
    let listed = stranger.get("/domains").await.json();
    let verified = listed["data"][0]["hostname"].as_str().unwrap().to_owned();
    app.take_word(&verified).await;
    assert_eq!(stranger.post("/domains", body("f.example")).await.status, 201);

    for number in 0..4 {
        assert_eq!(
            made.post("/domains", body(&format!("m{number}.example"))).await.status,
            201
        );
    }
    app.stop().await;
}

#[sqlx::test]
async fn who_only_claims_a_name_is_in_nobody_s_way_to_a_certificate(pool: PgPool) {
    let (app, mut dns) = start(pool.clone(), &[]).await;
    let rival = app.msp("Rival").await;
    rival.register(HOST).await;
    let holder = app.msp("Holder").await;
    let held = value(&holder.register(HOST).await);
    dns.change(&[a(HOST, "127.0.0.1"), txt(NAME, &[&held])]);
    check(&holder).await;
    eventually(|| async { app.running.serves(HOST) }).await;
    assert_eq!(check(&holder).await["certificate"]["state"], "valid");
    assert_eq!(check(&rival).await["certificate"]["state"], "none");
    assert_eq!(rival.delete("/domains/contoso.test").await.status, 204);
    assert_eq!(check(&holder).await["certificate"]["state"], "valid");
    app.stop().await;
}

#[sqlx::test]
async fn an_organisation_that_is_suspended_takes_no_name(pool: PgPool) {
    let (app, mut dns) = start(pool.clone(), &[]).await;
    let msp = app.msp("Acme IT").await;
    let held = value(&msp.register(HOST).await);
    eventually(|| async { msp.get("/domains/contoso.test").await.json()["ownership"]["checked_at"].is_string() }).await;
    app.suspend(&msp).await;
    dns.change(&[txt(NAME, &[&held])]);
    shift(&pool, "update domain_checks set due_at = now()").await;
    let seen = || async {
        let seen = "select count(*) from domain_checks where ownership_seen_since is not null";
        sqlx::query_scalar::<_, i64>(seen).fetch_one(&pool).await.unwrap() == 1
    };
    eventually(seen).await;
    app.resume(&msp).await;
    assert_eq!(
        msp.get("/domains/contoso.test").await.json()["ownership"]["verified_at"],
        Value::Null
    );
    assert!(check(&msp).await["ownership"]["verified_at"].is_string());
    app.stop().await;
}

#[sqlx::test]
async fn claims_that_are_changed_all_at_once_wait_for_nobody_for_ever_and_one_holds(pool: PgPool) {
    let (app, mut dns) = start(pool.clone(), &[]).await;
    let msps = [app.msp("One").await, app.msp("Two").await, app.msp("Three").await];
    let mut records = vec![a(HOST, "127.0.0.1")];
    for msp in &msps {
        records.push(txt(NAME, &[&value(&msp.register(HOST).await)]));
    }
    dns.change(&records);
    let path = &format!("/domains/{HOST}");
    let check = format!("{path}/check");
    let check = check.as_str();
    let server = json!({"vendor": "intune", "parameters": {"tenant_id": super::app::TENANT, "cloud": "global"}});
    let again = &json!({"hostname": HOST, "client_name": "Contoso", "server": server});
    let connect = |connection| json!({ "connection": connection });
    let organisation_id = msps[0].organisation_id;
    let word = || async {
        let mut tx = pool.begin().await.unwrap();
        let operator = signpost::accounts::Operator::at_the_command_line();
        let hostname = signpost::hostname::Hostname::parse(HOST).unwrap();
        let now = crate::clock::now();
        match signpost::domains::verify(
            &mut tx,
            operator,
            &hostname,
            Some(organisation_id),
            crate::clock::assume(now),
        )
        .await
        {
            Ok(()) => tx.commit().await.unwrap(),
            Err(error) => assert!(matches!(error, signpost::domains::DomainError::NotFound), "{error:?}"),
        }
    };
    for _ in 0..12 {
        let changes = msps.iter().map(|msp| async move {
            let (one, two, three, four) = tokio::join!(
                msp.post(check, json!({})),
                msp.patch(path, connect("redirect")),
                async {
                    let deleted = msp.delete(path).await;
                    (deleted.status, msp.post("/domains", again.clone()).await.status)
                },
                msp.patch(path, connect("direct")),
            );
            for status in [one.status, two.status, three.0, three.1, four.status] {
                assert!(status < 500, "{status}");
            }
        });
        let age = "update domains set takes_over_at = now() where takes_over_at is not null";
        let age = async { drop(sqlx::query(age).execute(&pool).await) };
        tokio::join!(futures_util::future::join_all(changes), word(), age);
        let holders = "select count(*) from domains where ownership_verified_at is not null";
        let holders: i64 = sqlx::query_scalar(holders).fetch_one(&pool).await.unwrap();
        assert!(holders <= 1, "{holders}");
    }
    app.stop().await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&pool).await.unwrap();
    assert_eq!(deadlocks, 0);
}
