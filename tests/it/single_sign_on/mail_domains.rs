//! The DNS record that single sign-on needs for each mail domain.
use serde_json::{Value, json};
use sqlx::{PgPool, migrate::Migrator};

use super::{
    provider::{CLIENT, SECRET},
    rig::{PAGE, Rig, START, is_refused, prove, record_of},
};
use crate::{
    app::eventually,
    faults::dns::{Broken, BrokenDns, delegated, txt},
    people::leads_to,
};

const CLIENT_DOMAIN: &str = "client.test";
const NAME: &str = "_signpost-sso.client.test";

async fn save_for(rig: &Rig, hostname: &str) {
    let fields = [
        ("issuer", rig.provider.issuer.as_str()),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("mail_domains", hostname),
        ("new_member_role", "viewer"),
    ];
    let saved = rig.owner.submit(PAGE, &fields).await;
    assert_eq!(leads_to(&saved), "/settings/single-sign-on?done=saved");
}

async fn check(rig: &Rig) -> Value {
    let checked = rig.msp.post("/single-sign-on/check", json!({})).await;
    assert_eq!(checked.status, 200, "{}", checked.text);
    checked.json()["mail_domains"][0].clone()
}

/// The CEO of the client comes by the MSP's provider.
async fn ceo_arrives(rig: &Rig) -> crate::app::Answer {
    let person = rig.app.person();
    let page = person.submit(START, &[("email", "ceo@client.test")]).await;
    if page.status != 200 {
        return page;
    }
    let sent = super::rig::sent(&page);
    let code = rig
        .provider
        .consent(&sent, json!({"sub": "ceo", "email": "ceo@client.test"}));
    person.get(&super::rig::back(&sent, &code)).await
}

async fn execute(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

#[sqlx::test]
async fn proof_for_discovery_lets_no_provider_say_who_people_are(pool: PgPool) {
    let mut rig = Rig::start(pool.clone()).await;
    let registered = rig.msp.register(CLIENT_DOMAIN).await;
    let ownership = registered["ownership"]["record"]["value"].as_str().unwrap().to_owned();
    // By the operator's word and by the record for discovery, whose value at the other name proves nothing.
    rig.app.take_word(CLIENT_DOMAIN).await;
    rig.dns
        .change(&[txt("_signpost.client.test", &[&ownership]), txt(NAME, &[&ownership])]);
    save_for(&rig, CLIENT_DOMAIN).await;
    let domain = check(&rig).await;
    assert_eq!(
        (&domain["signs_in"], &domain["is_proved"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(domain["observed"], json!([ownership]));
    is_refused(&ceo_arrives(&rig).await, "TXT record for single sign-on was not found");
    let page = rig.owner.get(PAGE).await.text;
    let value = domain["record"]["value"].as_str().unwrap();
    for shown in ["Not active", "Another value was found there", NAME, value] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // The usual mistakes.
    for misplaced in [CLIENT_DOMAIN, "_signpost-sso.client.test.client.test"] {
        rig.dns.change(&[txt(misplaced, &[value])]);
        assert_eq!(check(&rig).await["signs_in"], false, "{misplaced}");
        let page = rig.owner.get(PAGE).await.text;
        assert!(page.contains(&format!("The value was found at {misplaced}.")), "{page}");
    }
    prove(&rig.msp, &mut rig.dns, &[CLIENT_DOMAIN]).await;
    assert_eq!(leads_to(&ceo_arrives(&rig).await), "/");
    // Another organisation's record says nothing for this one.
    let other = rig.app.msp("Other").await;
    other.register("other.test").await;
    assert_ne!(
        other.get("/domains/other.test").await.json()["ownership"]["record"]["value"],
        json!(value)
    );
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_record_that_disappears_ends_single_sign_on_after_three_days_and_a_failing_server_never(pool: PgPool) {
    let mut rig = Rig::start(pool.clone()).await;
    rig.msp.register(CLIENT_DOMAIN).await;
    rig.app.take_word(CLIENT_DOMAIN).await;
    save_for(&rig, CLIENT_DOMAIN).await;
    prove(&rig.msp, &mut rig.dns, &[CLIENT_DOMAIN]).await;
    let later = "update identity_provider_domains set missing_since = missing_since - interval '73 hours'";
    let broken = BrokenDns::start(Broken::ServerFailure);
    rig.dns.change(&[delegated("client.test", broken.socket_address())]);
    let domain = check(&rig).await;
    assert_eq!(
        (&domain["signs_in"], &domain["missing_since"]),
        (&json!(true), &Value::Null)
    );

    rig.dns.change(&[]);
    let domain = check(&rig).await;
    assert!(
        domain["signs_in"] == true && domain["missing_since"].is_string(),
        "{domain}"
    );
    assert!(rig.owner.get(PAGE).await.text.contains("The record is missing since"));
    assert_eq!(leads_to(&ceo_arrives(&rig).await), "/");
    execute(&pool, later).await;
    // It takes an answer to end it.
    rig.dns.change(&[delegated("client.test", broken.socket_address())]);
    assert_eq!(check(&rig).await["signs_in"], true);
    rig.dns.change(&[]);
    assert_eq!(check(&rig).await["signs_in"], false);
    is_refused(&ceo_arrives(&rig).await, "TXT record for single sign-on was not found");
    let actions: Vec<String> = sqlx::query_scalar(
        "select action from audit_events where action like 'identity_provider.domain%' and subject_name = 'client.test'
          order by audit_event_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        actions,
        ["identity_provider.domain_proved", "identity_provider.domain_lost"]
    );
    prove(&rig.msp, &mut rig.dns, &[CLIENT_DOMAIN]).await;
    assert_eq!(leads_to(&ceo_arrives(&rig).await), "/");
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_domain_that_the_organisation_lost_is_proved_anew(pool: PgPool) {
    let mut rig = Rig::start(pool.clone()).await;
    rig.msp.register(CLIENT_DOMAIN).await;
    rig.app.take_word(CLIENT_DOMAIN).await;
    save_for(&rig, CLIENT_DOMAIN).await;
    prove(&rig.msp, &mut rig.dns, &[CLIENT_DOMAIN]).await;
    assert_eq!(rig.msp.delete("/domains/client.test").await.status, 204);
    is_refused(&ceo_arrives(&rig).await, "No single sign-on is set up");
    let is_reset = || async {
        let left: i64 =
            sqlx::query_scalar("select count(*) from identity_provider_domains where proved_at is not null")
                .fetch_one(&pool)
                .await
                .unwrap();
        left == 0
    };
    let app = rig.app.stop_for_a_while().await;
    // A node looks at once when it starts.
    rig.dns.change(&[]);
    let settings = [
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ("SIGNPOST_DNS_SERVERS", &rig.dns.address()),
    ];
    let app = crate::app::TestApp::start_in(pool.clone(), app, &settings).await;
    eventually(is_reset).await;
    app.stop().await;
}

#[sqlx::test(migrations = false)]
async fn providers_from_before_have_thirty_days_and_their_admins_a_mail(pool: PgPool) {
    let migrator = Migrator::new(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")));
    let migrator = migrator.await.unwrap();
    migrator.run_to(27, &pool).await.unwrap();
    for statement in [
        "insert into organisations (organisation_id, name, user_digest_key, ownership_key)
         values ('00000000-0000-0000-0000-000000000001', 'Old', '', '\\x01')",
        "insert into identity_providers (identity_provider_id, organisation_id, issuer, client_id, client_secret_sealed, created_at, changed_at)
         values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'https://id.example', 'x', '', now(), now())",
        "insert into identity_provider_domains (identity_provider_id, hostname)
         values ('00000000-0000-0000-0000-000000000002', 'old.test')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    migrator.run(&pool).await.unwrap();
    let days: i64 = sqlx::query_scalar(
        "select (extract(epoch from grace_until - now()) / 86400)::bigint from identity_provider_domains",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(days, 30);
    execute(&pool, "delete from organisations").await;

    let mut rig = Rig::start(pool.clone()).await;
    rig.app.colleague(&rig.owner, "ed@acme.example", "editor", "").await;
    rig.msp.register(CLIENT_DOMAIN).await;
    rig.app.take_word(CLIENT_DOMAIN).await;
    save_for(&rig, CLIENT_DOMAIN).await;
    assert_eq!(check(&rig).await["signs_in"], false);
    // As the migration leaves a provider that exists.
    execute(
        &pool,
        "update identity_provider_domains
            set grace_until = now() + interval '30 days', missing_since = null, checked_at = null, next_check_at = now()",
    )
    .await;
    let domain = rig.msp.get("/single-sign-on").await.json()["mail_domains"][0].take();
    assert!(
        domain["signs_in"] == true && domain["grace_until"].is_string(),
        "{domain}"
    );
    assert_eq!(domain["is_proved"], false);
    assert_eq!(leads_to(&ceo_arrives(&rig).await), "/");
    assert!(rig.owner.get(PAGE).await.text.contains("unless you add this record"));

    let settings = [
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ("SIGNPOST_DNS_SERVERS", &rig.dns.address()),
    ];
    let dir = rig.app.stop_for_a_while().await;
    rig.app = crate::app::TestApp::start_in(pool.clone(), dir, &settings).await;
    let subject = "Single sign-on for client.test needs a DNS record";
    eventually(|| async {
        rig.app
            .mails("owner@acme.example")
            .await
            .iter()
            .any(|mail| mail.subject == subject)
    })
    .await;
    let mails = rig.app.mails("owner@acme.example").await;
    let mail = mails.iter().find(|mail| mail.subject == subject).unwrap();
    assert!(
        mail.text.contains(NAME) && mail.text.contains("signpost-sso-verification="),
        "{}",
        mail.text
    );
    for email in ["ed@acme.example", "ceo@client.test"] {
        assert!(
            rig.app.mails(email).await.iter().all(|mail| mail.subject != subject),
            "{email}"
        );
    }
    execute(&pool, "update identity_provider_domains set next_check_at = now()").await;
    let dir = rig.app.stop_for_a_while().await;
    rig.app = crate::app::TestApp::start_in(pool.clone(), dir, &settings).await;
    eventually(|| async {
        let due: i64 =
            sqlx::query_scalar("select count(*) from identity_provider_domains where next_check_at <= now()")
                .fetch_one(&pool)
                .await
                .unwrap();
        due == 0
    })
    .await;
    let told = rig.app.mails("owner@acme.example").await;
    assert_eq!(told.iter().filter(|mail| mail.subject == subject).count(), 1);

    execute(
        &pool,
        "update identity_provider_domains set grace_until = now() - interval '1 second'",
    )
    .await;
    is_refused(&ceo_arrives(&rig).await, "TXT record for single sign-on was not found");
    rig.app.stop().await;
}

#[sqlx::test]
async fn only_admins_check_records_and_each_organisation_its_own(pool: PgPool) {
    let rig = Rig::start(pool).await;
    let editor = rig.app.colleague(&rig.owner, "ed@acme.example", "editor", "").await;
    let check = "/settings/single-sign-on/check";
    assert_eq!(editor.submit_to("/settings", check, &[]).await.status, 403);
    assert_eq!(
        leads_to(&rig.owner.submit_to(PAGE, check, &[]).await),
        "/settings/single-sign-on?done=checked"
    );
    let other = rig.app.msp("Other").await;
    other
        .post("/single-sign-on/check", json!({}))
        .await
        .problem(404, "not_found");
    let value = format!("{:?}", record_of(&rig.msp, "acme.example").await);
    assert!(value.contains("_signpost-sso.acme.example"), "{value}");
    rig.app.stop().await;
}
