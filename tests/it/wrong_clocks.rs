//! A node whose clock is wrong by months, beside one whose clock is right, on one database. What is stored goes by the
//! database's clock: the wrong one neither ends what is valid nor accepts what has expired.
use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Msp, TestApp},
    binary::{Machine, Serving},
    people::{PASSWORD, Person, leads_to, link},
};

const EMAIL: &str = "ada@msp.example";
const HOST: &str = "contoso.test";
const NAME_SERVERS: (&str, &str) = ("SIGNPOST_DNS_SERVERS", "127.0.0.1:1");

/// A second process on the database of `app`, under the same secret key and with the same internal CA. `offset` is what
/// libfaketime adds to its clock.
async fn serve_beside(app: &TestApp, offset: &str, days: i64) -> (Machine, Serving) {
    let mut machine = Machine::new(&app.pool);
    fs::create_dir(machine.state_dir()).unwrap();
    for name in ["secret.key", "ca.pem", "ca.key.sealed"] {
        fs::copy(app.state_dir.join(name), machine.state_dir().join(name)).unwrap();
    }
    let library = faketime();
    for (name, value) in [
        NAME_SERVERS,
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", offset),
        // Timeouts and intervals go on as they are.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        machine.set(name, value);
    }
    let serving = machine.serve(&[]);
    assert_eq!(days_ahead(&serving).await, days, "libfaketime has no effect");
    (machine, serving)
}

/// How far the clock of a node is ahead, by what it says in its answers.
async fn days_ahead(node: &Serving) -> i64 {
    let answer = Person::at(node.http).get("/sign-in").await;
    let date = chrono::DateTime::parse_from_rfc2822(answer.header("date").unwrap()).unwrap();
    let ahead = date.to_utc() - crate::clock::now();
    // Seconds pass meanwhile.
    (ahead + chrono::TimeDelta::hours(12)).num_hours().div_euclid(24)
}

/// libfaketime, wherever the architecture's libraries are.
fn faketime() -> PathBuf {
    let below = |root: &str| {
        fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let mut places = below("/usr/lib").chain(["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into()]);
    places
        .find_map(|place| Some(place.join("faketime/libfaketime.so.1")).filter(|library| library.exists()))
        .expect("libfaketime: script/test installs it")
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// What a node with a wrong clock must neither delete nor replace.
async fn stored(pool: &PgPool) -> Vec<(&'static str, i64)> {
    let mut counts = Vec::new();
    for query in [
        "select count(*) from sessions",
        "select count(*) from idempotency_keys",
        "select count(*) from api_tokens",
        "select count(*) from invitations",
        "select count(*) from share_links",
        "select count(*) from audit_events",
        "select count(*) from domains where ownership_verified_at is not null",
        "select count(*) from pg_inherits where inhparent = 'requests'::regclass",
    ] {
        counts.push((query, count(pool, query).await));
    }
    counts
}

fn assert_kept(before: &[(&str, i64)], after: &[(&str, i64)]) {
    for ((query, before), (_, after)) in before.iter().zip(after) {
        assert!(after >= before, "{query}: {before}, {after}");
    }
}

async fn certificates(pool: &PgPool) -> Vec<(String, uuid::Uuid)> {
    sqlx::query_as("select hostname, certificate_id from certificates order by hostname")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// The same browser at another node.
fn at(node: &Serving, person: &Person) -> Person {
    let elsewhere = Person::at(node.http);
    elsewhere.set_cookies(person.cookies());
    elsewhere
}

/// The same program at another node.
fn program_at(node: &Serving, msp: &Msp) -> Msp {
    Msp::at(node.http, msp.organisation_id, &msp.token)
}

async fn invite(person: &Person, email: &str) {
    let fields = [("email", email), ("role", "editor"), ("client_id", "")];
    let invited = person
        .submit_to("/settings/members", "/settings/invitations", &fields)
        .await;
    assert_eq!(leads_to(&invited), "/settings/members?done=invited");
}

async fn create_client(msp: &Msp, key: &str) -> Answer {
    let body = json!({"name": key});
    msp.call_with("POST", "/clients", Some(body), &[("idempotency-key", key)])
        .await
}

async fn share(msp: &Msp) -> String {
    let body = json!({"expires_in_days": 7});
    let made = msp.post(&format!("/domains/{HOST}/share-links"), body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    path_of(&made.json()["url"])
}

fn path_of(url: &Value) -> String {
    let (_, rest) = url.as_str().unwrap().split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

/// A token that expires in a day, made by the node that `msp` calls.
async fn token(pool: &PgPool, msp: &Msp) -> Msp {
    let tomorrow: chrono::DateTime<chrono::Utc> = sqlx::query_scalar("select now() + interval '1 day'")
        .fetch_one(pool)
        .await
        .unwrap();
    let body = json!({"name": "Nightly sync", "scopes": ["domains:read"], "expires_at": tomorrow});
    let made = msp.post("/tokens", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    msp.with_token(made.json()["token"].as_str().unwrap())
}

/// Nothing was written that has not happened yet, or that lasts longer than it should.
async fn assert_times_are_the_databases(pool: &PgPool) {
    for query in [
        "select count(*) from sessions where greatest(created_at, seen_at, authenticated_at) not between now() - interval '1 hour' and now()",
        "select count(*) from sessions where expires_at not between now() and now() + interval '31 days'",
        "select count(*) from memberships where seen_at > now()",
        "select count(*) from invitations where created_at not between now() - interval '1 hour' and now()
                                             or expires_at not between now() and now() + interval '8 days'",
        "select count(*) from share_links where expires_at not between now() and now() + interval '8 days'",
        "select count(*) from api_tokens where last_used_at not between now() - interval '1 hour' and now()",
        "select count(*) from outbox where due_at not between now() - interval '1 hour' and now() + interval '1 hour'",
        "select count(*) from failed_attempts where last_at not between now() - interval '1 hour' and now()",
        "select count(*) from certificates where not_before not between now() - interval '1 day' and now()",
    ] {
        assert_eq!(count(pool, query).await, 0, "{query}");
    }
}

#[sqlx::test]
async fn a_node_that_is_months_ahead_ends_nothing_that_is_valid(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let msp = app.program_of(&owner).await;
    msp.register(HOST).await;
    app.verify(HOST).await;
    invite(&owner, "grace@msp.example").await;
    let invitation = link(&app.mails("grace@msp.example").await[0]);
    let shared = share(&msp).await;
    let expiring = token(&pool, &msp).await;
    let created = create_client(&msp, "Fabrikam").await;
    assert_eq!(created.status, 201, "{}", created.text);
    app.ask(HOST, "?user-identifier=ada@contoso.test&model-family=Mac")
        .await;
    assert_eq!(msp.logged(1).await.len(), 1);
    let (before, issued) = (stored(&pool).await, certificates(&pool).await);

    let (_machine, ahead) = serve_beside(&app, "+90d", 90).await;
    let (there, elsewhere) = (program_at(&ahead, &msp), at(&ahead, &owner));
    // What the right clock gave is good there.
    assert_eq!(elsewhere.get("/settings/members").await.status, 200, "a session");
    assert_eq!(
        program_at(&ahead, &expiring).get("/domains").await.status,
        200,
        "a token"
    );
    assert_eq!(
        Person::at(ahead.http).get(&invitation).await.status,
        200,
        "an invitation"
    );
    assert_eq!(Person::at(ahead.http).get(&shared).await.status, 200, "a share link");
    let replayed = create_client(&there, "Fabrikam").await;
    assert_eq!(
        (replayed.status, &replayed.text),
        (201, &created.text),
        "an idempotency key"
    );
    let checked = there.post(&format!("/domains/{HOST}/check"), json!({})).await.json();
    assert_eq!(checked["certificate"]["state"], "valid", "{checked}");
    assert_eq!(there.logged(1).await.len(), 1);
    assert_kept(&before, &stored(&pool).await);

    // What is given there is good everywhere, and lasts as long as it should.
    let visitor = Person::at(ahead.http);
    assert_eq!(leads_to(&visitor.sign_in(EMAIL, PASSWORD).await), "/");
    let back = app.person();
    back.set_cookies(visitor.cookies());
    assert_eq!(back.get("/settings/members").await.status, 200);
    invite(&elsewhere, "eve@msp.example").await;
    let invitation = link(&app.mails("eve@msp.example").await[0]);
    assert_eq!(app.person().get(&invitation).await.status, 200);
    let shared = share(&there).await;
    assert_eq!(app.person().get(&shared).await.status, 200);
    let expiring = token(&pool, &there).await;
    assert_eq!(expiring.get("/domains").await.status, 200);
    let created = create_client(&there, "Litware").await;
    let replayed = create_client(&msp, "Litware").await;
    assert_eq!((created.status, replayed.text), (201, created.text));

    assert!(ahead.terminate().0.success());
    assert_times_are_the_databases(&pool).await;
    assert_eq!(certificates(&pool).await, issued, "no certificate is renewed");
    assert_kept(&before, &stored(&pool).await);
    app.stop().await;
}

#[sqlx::test]
async fn a_node_that_is_months_behind_accepts_nothing_that_has_expired(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let msp = app.program_of(&owner).await;
    msp.register(HOST).await;
    app.verify(HOST).await;
    invite(&owner, "grace@msp.example").await;
    let invitation = link(&app.mails("grace@msp.example").await[0]);
    let forgotten = [("email", EMAIL)];
    assert_eq!(
        leads_to(&app.person().submit("/password/forgotten", &forgotten).await),
        "/password/sent"
    );
    let reset = link(&app.mails(EMAIL).await[0]);
    let shared = share(&msp).await;
    let expiring = token(&pool, &msp).await;
    let created = create_client(&msp, "Fabrikam").await;
    let issued = certificates(&pool).await;

    let (_machine, behind) = serve_beside(&app, "-90d", -90).await;
    let (there, stranger) = (program_at(&behind, &msp), Person::at(behind.http));
    // All of it is good at first: what refuses it below is that it has expired.
    assert_eq!(at(&behind, &owner).get("/settings/members").await.status, 200);
    assert_eq!(program_at(&behind, &expiring).get("/domains").await.status, 200);
    for path in [&invitation, &reset, &shared] {
        assert_eq!(stranger.get(path).await.status, 200, "{path}");
    }
    assert_eq!(create_client(&there, "Fabrikam").await.text, created.text);
    let checked = there.post(&format!("/domains/{HOST}/check"), json!({})).await.json();
    assert_eq!(checked["certificate"]["state"], "valid", "{checked}");

    for statement in [
        "update sessions set expires_at = now() - interval '1 second'",
        "update api_tokens set expires_at = now() - interval '1 second' where name = 'Nightly sync'",
        "update invitations set expires_at = now() - interval '1 second'",
        "update mail_links set expires_at = now() - interval '1 second'",
        "update share_links set expires_at = now() - interval '1 second'",
        "update idempotency_keys set created_at = now() - interval '25 hours'",
    ] {
        assert!(
            sqlx::query(statement).execute(&pool).await.unwrap().rows_affected() > 0,
            "{statement}"
        );
    }
    let answer = at(&behind, &owner).get("/settings/members").await;
    assert!(leads_to(&answer).starts_with("/sign-in"), "a session");
    assert_eq!(
        program_at(&behind, &expiring).get("/domains").await.status,
        401,
        "a token"
    );
    for path in [&invitation, &reset, &shared] {
        assert_eq!(stranger.get(path).await.status, 404, "{path}");
    }
    let again = create_client(&there, "Fabrikam").await;
    assert_ne!(again.text, created.text, "an idempotency key");

    let visitor = Person::at(behind.http);
    assert_eq!(leads_to(&visitor.sign_in(EMAIL, PASSWORD).await), "/");
    let back = app.person();
    back.set_cookies(visitor.cookies());
    assert_eq!(back.get("/settings/members").await.status, 200);
    assert!(behind.terminate().0.success());
    assert_eq!(
        count(
            &pool,
            "select count(*) from sessions where expires_at > now() and created_at > now() - interval '1 hour'"
        )
        .await,
        1
    );
    assert_eq!(certificates(&pool).await, issued, "no certificate is renewed");
    app.stop().await;
}
