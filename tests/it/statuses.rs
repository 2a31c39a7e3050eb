//! The projection of statuses: written by whichever node derives them, and derived anew by whatever changes one.
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use signpost::domains::{
    connection::Expected,
    told::{Round, Teller},
};
use sqlx::PgPool;

use crate::{
    app::TestApp,
    domain_lists::{derive, expected, fill, organisation},
};

/// How many domains have which status, as the projection says.
async fn counts(pool: &PgPool) -> BTreeMap<String, i64> {
    let rows = sqlx::query_as("select status, count(*) from domain_statuses group by status");
    let rows: Vec<(String, i64)> = rows.fetch_all(pool).await.unwrap();
    rows.into_iter().collect()
}

async fn execute(pool: &PgPool, statement: &'static str) {
    sqlx::raw_sql(statement).execute(pool).await.unwrap();
}

fn teller(pool: &PgPool) -> Teller {
    Teller {
        pool: pool.clone(),
        expected: expected(),
    }
}

async fn status_of(pool: &PgPool, hostname: &str) -> (String, Option<String>, Option<String>, bool) {
    sqlx::query_as(
        "select status, next_action, next_action_by, is_provisional from domain_statuses where hostname = $1",
    )
    .bind(hostname)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test]
async fn a_registered_domain_is_listed_by_its_status_at_once_and_a_deleted_one_is_not(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let program = app.msp("Acme IT").await;
    program.register("contoso.com").await;
    let listed = program.get("/domains?status=pending_ownership").await.json();
    assert_eq!(listed["data"][0]["hostname"], "contoso.com", "{listed}");
    program.delete("/domains/contoso.com").await;
    let listed = program.get("/domains?status=pending_ownership").await.json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(0), "{listed}");
    app.stop().await;
}

#[sqlx::test]
async fn every_change_of_a_fact_is_derived_with_the_next_round(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 20).await;
    let now = crate::clock::now();
    assert!(
        teller(&pool).round(crate::clock::assume(now)).await.unwrap().is_empty(),
        "nothing has changed"
    );
    execute(
        &pool,
        r#"update domain_checks k
              set connection_observed = '{"records": {"a": {"Ok": {"aliases": [], "records": ["192.0.2.10"]}},
                                          "aaaa": {"Ok": {"aliases": [], "records": []}},
                                          "caa": {"Ok": {"aliases": [], "records": []}}, "dangling": null, "probe": null}}'
             from domains d where d.domain_id = k.domain_id and d.hostname = 'n00003.example.com'"#,
    )
    .await;
    derive(&pool).await;
    let active = || ("active".to_owned(), None, None, false);
    assert_eq!(status_of(&pool, "n00003.example.com").await, active());
    let status = |status: &str, action: &str, who: &str| {
        (status.to_owned(), Some(action.to_owned()), Some(who.to_owned()), false)
    };
    for (change, expected) in [
        (
            "update domain_checks k set ownership_missing_since = now() from domains d
              where d.domain_id = k.domain_id and d.hostname = 'n00003.example.com'",
            status("attention", "restore_ownership_record", "client"),
        ),
        (
            "update domain_checks k set ownership_missing_since = null from domains d
              where d.domain_id = k.domain_id and d.hostname = 'n00003.example.com'",
            active(),
        ),
        (
            "delete from certificates where hostname = 'n00003.example.com'",
            status("pending_certificate", "wait_for_certificate", "signpost"),
        ),
        (
            "insert into certificate_leases (hostname, issuer) values ('n00003.example.com', 'internal');
             update certificate_leases set failure = jsonb_build_object(
                 'code', 'x', 'message', 'x', 'remedy', 'x', 'at', now(), 'is_theirs', true)",
            status("pending_certificate", "wait_for_certificate", "client"),
        ),
        (
            "update domains set suspended_at = now() where hostname = 'n00003.example.com'",
            status("suspended", "contact_operator", "msp"),
        ),
        (
            "update domains set suspended_at = null, ownership_verified_at = null, ownership_proof = null
              where hostname = 'n00003.example.com'",
            status("pending_ownership", "add_ownership_record", "client"),
        ),
        (
            "update organisations set suspended_at = now()",
            status("suspended", "contact_operator", "msp"),
        ),
    ] {
        execute(&pool, change).await;
        let round = teller(&pool).round(crate::clock::assume(now)).await.unwrap();
        assert!(round.changed > 0 && round.rederived == 0, "{change}: {round:?}");
        assert_eq!(status_of(&pool, "n00003.example.com").await, expected, "{change}");
    }
    assert_eq!(counts(&pool).await, BTreeMap::from([("suspended".to_owned(), 20)]));
}

#[sqlx::test]
async fn a_certificate_that_expires_changes_the_status_although_no_row_does(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 20).await;
    let in_days = |days| -> DateTime<Utc> { crate::clock::now() + TimeDelta::days(days) };
    assert!(
        teller(&pool)
            .round(crate::clock::assume(in_days(59)))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(status_of(&pool, "n00003.example.com").await.0, "active");
    let round = teller(&pool).round(crate::clock::assume(in_days(61))).await.unwrap();
    assert!(round.changed > 0, "{round:?}");
    assert_eq!(status_of(&pool, "n00003.example.com").await.0, "attention");
    assert!(
        teller(&pool)
            .round(crate::clock::assume(in_days(61)))
            .await
            .unwrap()
            .is_empty(),
        "once"
    );
}

#[sqlx::test]
async fn other_addresses_derive_every_status_anew_and_the_same_ones_none(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 20).await;
    let now = crate::clock::now();
    let before = counts(&pool).await;
    // A node that starts with what the others have.
    teller(&pool).begin().await.unwrap();
    assert!(teller(&pool).round(crate::clock::assume(now)).await.unwrap().is_empty());
    let other = Teller {
        pool: pool.clone(),
        expected: Expected {
            issuer: "https://other.example/directory".into(),
            ..expected()
        },
    };
    other.begin().await.unwrap();
    assert_eq!(
        other.round(crate::clock::assume(now)).await.unwrap(),
        Round {
            changed: 0,
            rederived: 20
        }
    );
    while !other.round(crate::clock::assume(now)).await.unwrap().is_empty() {}
    let after = counts(&pool).await;
    assert_ne!(after, before);
    assert!(after["pending_certificate"] > 0, "{after:?}");
    derive(&pool).await;
    assert_eq!(counts(&pool).await, before);
}

#[sqlx::test]
async fn what_a_node_of_the_previous_version_derives_is_listed_and_derived_again(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 20).await;
    // It takes the hint and writes what it derives to its own table only.
    execute(
        &pool,
        "update domain_checks k set ownership_missing_since = now() from domains d
          where d.domain_id = k.domain_id and d.hostname = 'n00003.example.com';
         delete from status_hints;
         update told_statuses t set status = 'attention', judged_at = now() from domains d
          where d.domain_id = t.domain_id and d.hostname = 'n00003.example.com'",
    )
    .await;
    let provisional = ("attention".to_owned(), None, None, true);
    assert_eq!(status_of(&pool, "n00003.example.com").await, provisional);
    let round = teller(&pool).round(crate::clock::database_now()).await.unwrap();
    assert_eq!((round.changed, round.rederived), (1, 0));
    let (status, action, who, is_provisional) = status_of(&pool, "n00003.example.com").await;
    assert_eq!(
        (status.as_str(), action.as_deref(), who.as_deref(), is_provisional),
        ("attention", Some("restore_ownership_record"), Some("client"), false)
    );
}

#[sqlx::test]
async fn a_domain_that_can_not_be_read_keeps_no_other_from_being_derived(pool: PgPool) {
    let organisation_id = organisation(&pool, "Acme IT").await;
    fill(&pool, organisation_id, 20).await;
    execute(
        &pool,
        "alter table domains drop constraint domains_ownership_proof_known;
         update domains set ownership_proof = 'of a later version' where hostname = 'n00004.example.com';
         update domains set suspended_at = now() where hostname in ('n00003.example.com', 'n00004.example.com');
         update domain_statuses set is_provisional = true where hostname = 'n00004.example.com'",
    )
    .await;
    derive(&pool).await;
    assert_eq!(status_of(&pool, "n00003.example.com").await.0, "suspended");
    let (status, _, _, is_provisional) = status_of(&pool, "n00004.example.com").await;
    assert_eq!((status.as_str(), is_provisional), ("attention", false));
}
