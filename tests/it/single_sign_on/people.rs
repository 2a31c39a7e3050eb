//! Who is let in as whom, and how far the provider's word goes.
use serde_json::json;
use signpost::accounts::{Operator, email::Email, operators};
use sqlx::PgPool;

use super::{
    provider::{CLIENT, SECRET},
    rig::{DOMAIN, PAGE, Rig, START, is_refused, prove},
};
use crate::{
    app::waiting,
    people::{PASSWORD, hold_failures, leads_to, link},
    second_factor::turn_on,
};

const ADA: &str = "ada@acme.example";

async fn members(rig: &Rig) -> Vec<(String, String)> {
    let members = rig.msp.get("/members").await.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let member = |member: &serde_json::Value| (text(&member["email"]), text(&member["role"]));
    let mut members: Vec<_> = members["data"].as_array().unwrap().iter().map(member).collect();
    members.sort();
    members
}

fn ada_as(role: &str) -> Vec<(String, String)> {
    [(ADA, role), ("owner@acme.example", "owner")]
        .map(|(email, role)| (email.to_owned(), role.to_owned()))
        .into()
}

async fn remove_ada(rig: &Rig) {
    let members = rig.msp.get("/members").await.json();
    let ada = members["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["email"] == ADA);
    let path = format!("/members/{}", ada.unwrap()["id"].as_str().unwrap());
    assert_eq!(rig.msp.delete(&path).await.status, 204);
}

#[sqlx::test]
async fn whoever_is_invited_joins_as_what_they_are_invited_to(pool: PgPool) {
    let rig = Rig::start(pool).await;
    is_refused(&rig.arrive(json!({})).await.1, "Ask one of its owners or admins");
    let invited = rig
        .msp
        .post("/invitations", json!({"email": ADA, "role": "admin"}))
        .await;
    assert_eq!(invited.status, 201);
    // What the provider does not vouch for takes no invitation.
    for claims in [
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email_verified": "no"}),
    ] {
        let (_, answer) = rig.arrive(claims.clone()).await;
        assert_eq!(answer.status, 422, "{claims}");
    }
    is_refused(&rig.arrive(json!({"email_verified": false})).await.1, "email_verified");
    is_refused(
        &rig.arrive(json!({"email": "ada@contoso.com"})).await.1,
        "may not speak",
    );
    is_refused(&rig.arrive(json!({"email": null})).await.1, "does not say a usable");
    let (person, answer) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&answer), "/welcome");
    assert_eq!(members(&rig).await, ada_as("admin"));
    assert!(person.get("/settings/members").await.text.contains("Ada Lovelace"));
    assert_eq!(rig.msp.get("/invitations").await.json()["data"], json!([]));
    let log = rig.msp.get("/audit-events").await.json();
    let actions: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].clone())
        .collect();
    assert_eq!(actions[..2], [json!("identity.linked"), json!("member.joined")]);
    rig.app.stop().await;
}

#[sqlx::test]
async fn whoever_is_new_becomes_what_is_set_and_stays_out_once_removed(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.save("viewer").await;
    let (person, answer) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&answer), "/welcome");
    assert_eq!(members(&rig).await, ada_as("viewer"));
    assert_eq!(person.get("/settings/members").await.status, 403);

    remove_ada(&rig).await;
    assert_eq!(leads_to(&person.get("/domains").await), "/sign-in?next=%2Fdomains");
    is_refused(&rig.arrive(json!({})).await.1, "Ask one of its owners or admins");
    rig.msp
        .post("/invitations", json!({"email": ADA, "role": "editor"}))
        .await;
    assert_eq!(leads_to(&rig.arrive(json!({})).await.1), "/welcome");
    assert_eq!(members(&rig).await, ada_as("editor"));
    // Her address, given to somebody new at the provider, is not her account here.
    is_refused(
        &rig.arrive(json!({"sub": "another"})).await.1,
        "another account of your provider",
    );
    rig.app.stop().await;
}

#[sqlx::test]
async fn an_account_elsewhere_is_nobodys_but_its_owners(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.save("viewer").await;
    let ada = rig.app.owner("Ada's own", ADA).await;
    let answer = rig.arrive(json!({})).await.1;
    is_refused(&answer, "Ask one of its owners or admins");
    assert!(!answer.text.contains("Ada"));
    rig.msp
        .post("/invitations", json!({"email": ADA, "role": "editor"}))
        .await;
    is_refused(&rig.arrive(json!({})).await.1, "Open the link in that mail");
    assert_eq!(members(&rig).await.len(), 1);
    // Who opens the link and shows it is their account joins.
    let path = link(&rig.app.mails(ADA).await[0]);
    assert_eq!(leads_to(&ada.submit(&path, &[]).await), "/");
    let (person, answer) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&answer), "/welcome");

    // The provider of one organisation opens no other of hers, and makes nobody an operator.
    let own: uuid::Uuid = sqlx::query_scalar("select organisation_id from organisations where name = 'Ada''s own'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let (mut tx, keyring) = (pool.begin().await.unwrap(), rig.app.running.keyring());
    let email = Email::parse(ADA).unwrap();
    let made = operators::set(
        &mut tx,
        Operator::at_the_command_line(),
        &keyring,
        &email,
        Some(crate::clock::database_now()),
    );
    assert!(made.await.is_ok());
    tx.commit().await.unwrap();
    assert_eq!(ada.get("/operator").await.status, 200);
    assert_eq!(person.get("/operator").await.status, 404);
    let home = person.get("/settings").await.text;
    assert!(home.contains("Acme IT") && !home.contains("/settings/switch"), "{home}");
    let own = own.to_string();
    let switched = person
        .submit_to("/settings", "/settings/switch", &[("organisation_id", &own)])
        .await;
    assert_eq!(switched.status, 404);
    for page in ["/settings/switch", "/settings/security"] {
        assert!(!person.get(page).await.text.contains("Ada&#39;s own"), "{page}");
    }
    // Nor does it sign her out there.
    let elsewhere = rig.app.person();
    assert_eq!(leads_to(&elsewhere.sign_in(ADA, PASSWORD).await), "/");
    let ended = person
        .submit_to(
            "/settings/security",
            "/settings/security/sessions",
            &[("end", "others")],
        )
        .await;
    assert_eq!(leads_to(&ended), "/settings/security?done=sessions");
    assert_eq!(elsewhere.get("/domains").await.status, 200);
    let session: uuid::Uuid = sqlx::query_scalar(
        "select session_id from sessions join organisations using (organisation_id)
          where name = 'Ada''s own' order by session_id desc limit 1",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let path = "/settings/security/sessions";
    person
        .submit_to("/settings/security", path, &[("end", &session.to_string())])
        .await;
    assert_eq!(elsewhere.get("/domains").await.status, 200);
    // What lets her in elsewhere is behind her password.
    let refused = person
        .submit(
            "/settings/security/email",
            &[("email", "eve@acme.example"), ("present_password", "guessed it")],
        )
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let shown = person
        .submit(
            "/settings/security/email",
            &[("email", "ada@new.example"), ("present_password", PASSWORD)],
        )
        .await;
    assert_eq!(shown.status, 303, "{}", shown.text);
    let switched = person
        .submit_to("/settings", "/settings/switch", &[("organisation_id", &own)])
        .await;
    assert_eq!(
        leads_to(&switched),
        "/",
        "with the password shown it is a session like any other"
    );
    rig.app.stop().await;
}

#[sqlx::test]
async fn somebody_without_a_password_sets_one_by_mail_before_they_make_a_key(pool: PgPool) {
    let rig = Rig::start(pool).await;
    rig.save("editor").await;
    let (person, _) = rig.arrive(json!({})).await;
    assert_eq!(person.get("/settings/security").await.status, 200);
    for page in [
        "/settings/security/passkeys",
        "/settings/security/second-factor",
        "/settings/security/email",
    ] {
        let refused = person.get(page).await;
        assert!(
            refused.status == 403 && refused.text.contains("Set a password first"),
            "{page}: {}",
            refused.text
        );
    }
    person.submit("/password/forgotten", &[("email", ADA)]).await;
    let path = link(&rig.app.mails(ADA).await[0]);
    person.submit(&path, &[("password", PASSWORD)]).await;
    assert_eq!(leads_to(&person.sign_in(ADA, PASSWORD).await), "/");
    assert_eq!(person.get("/settings/security/passkeys").await.status, 200);
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_second_factor_is_asked_for_here_as_well(pool: PgPool) {
    let rig = Rig::start(pool).await;
    let ada = rig.app.colleague(&rig.owner, ADA, "editor", "").await;
    let (_, codes) = turn_on(&ada).await;
    let (person, answer) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&answer), "/sign-in/second-factor?next=%2Fwelcome");
    assert_eq!(leads_to(&person.get("/domains").await), "/sign-in?next=%2Fdomains");
    let page = "/sign-in/second-factor";
    let shown = person
        .submit_to(page, page, &[("code", &codes[0]), ("next", "/welcome")])
        .await;
    assert_eq!(leads_to(&shown), "/welcome");
    assert_eq!(person.get("/domains").await.status, 200);
    // It is still the provider's word, and ends with the provider.
    let delete = "/settings/single-sign-on/delete";
    assert_eq!(
        leads_to(&rig.owner.submit(delete, &[]).await),
        "/settings/single-sign-on?done=deleted"
    );
    assert_eq!(leads_to(&person.get("/domains").await), "/sign-in?next=%2Fdomains");
    assert_eq!(ada.get("/domains").await.status, 200);
    assert_eq!(rig.app.person().submit(START, &[("email", ADA)]).await.status, 422);
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_providers_word_makes_no_owner(pool: PgPool) {
    let rig = Rig::start(pool).await;
    let admin = rig.app.colleague(&rig.owner, ADA, "admin", "").await;
    let ids = rig.msp.get("/members").await.json();
    let id = |email: &str| {
        let mut members = ids["data"].as_array().unwrap().iter();
        let member = members.find(|member| member["email"] == email).unwrap();
        member["id"].as_str().unwrap().to_owned()
    };
    // An admin may name the provider, and this one says that the admin is the owner.
    let (posing, answer) = rig
        .arrive(json!({"sub": "the owner", "email": "owner@acme.example"}))
        .await;
    assert_eq!(leads_to(&answer), "/welcome");
    let own = format!("/settings/members/{}", id(ADA));
    let before = members(&rig).await;
    for (path, fields) in [
        (own.as_str(), &[("role", "owner"), ("client_id", "")][..]),
        (&format!("/settings/members/{}/remove", id("owner@acme.example")), &[]),
        (
            "/settings/invitations",
            &[("email", "x@acme.example"), ("role", "owner"), ("client_id", "")],
        ),
        ("/settings/organisation/delete", &[("confirm", "Acme IT")]),
        ("/settings/leave", &[]),
    ] {
        let refused = posing.submit_to("/settings", path, fields).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
    }
    assert_eq!(members(&rig).await, before);
    let settings = posing.get("/settings").await.text;
    assert!(settings.contains("an owner signs in with a password"), "{settings}");
    assert_eq!(posing.get("/settings/members").await.status, 200, "as an admin");
    // The owner's own password does.
    let shown = posing
        .submit(
            "/settings/security/email",
            &[("email", "owner@new.example"), ("present_password", PASSWORD)],
        )
        .await;
    assert_eq!(shown.status, 303, "{}", shown.text);
    let raised = posing
        .submit_to("/settings", &own, &[("role", "owner"), ("client_id", "")])
        .await;
    assert_eq!(leads_to(&raised), "/settings/members?done=changed");
    drop(admin);
    rig.app.stop().await;
}

#[sqlx::test]
async fn nobody_new_joins_an_organisation_that_is_full_with_those_who_are_invited(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.save("viewer").await;
    let invited = json!({"email": "grace@acme.example", "role": "viewer"});
    assert_eq!(rig.msp.post("/invitations", invited).await.status, 201);
    // With the owner and the one who is invited they are 500.
    sqlx::query(
        "with made as (
            insert into users (user_id, email_sealed, email_digest)
            select gen_random_uuid(), '', decode(md5(n::text), 'hex') from generate_series(1, 498) n
         returning user_id)
         insert into memberships (organisation_id, user_id, role)
         select organisation_id, made.user_id, 'viewer' from organisations, made",
    )
    .execute(&pool)
    .await
    .unwrap();
    is_refused(&rig.arrive(json!({})).await.1, "as many members as it may have");
    sqlx::query("delete from invitations").execute(&pool).await.unwrap();
    assert_eq!(leads_to(&rig.arrive(json!({})).await.1), "/welcome");
    rig.app.stop().await;
}

#[sqlx::test]
async fn an_address_counts_no_more_once_the_proof_of_its_own_domain_is_gone(pool: PgPool) {
    let mut rig = Rig::start(pool.clone()).await;
    rig.msp.register("second.example").await;
    rig.app.take_word("second.example").await;
    let fields = [
        ("issuer", rig.provider.issuer.as_str()),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("mail_domains", "acme.example second.example"),
        ("new_member_role", "viewer"),
    ];
    let saved = rig.owner.submit(PAGE, &fields).await;
    assert_eq!(leads_to(&saved), "/settings/single-sign-on?done=saved");
    prove(&rig.msp, &mut rig.dns, &[DOMAIN, "second.example"]).await;
    let eve = json!({"sub": "eve", "email": "eve@second.example"});
    sqlx::query(
        "update domains set ownership_verified_at = null, ownership_proof = null where hostname = 'second.example'",
    )
    .execute(&pool)
    .await
    .unwrap();
    // They came by the other domain, which is proved.
    assert_eq!(rig.arrive(eve).await.1.status, 422);
    assert_eq!(members(&rig).await.len(), 1);
    assert_eq!(leads_to(&rig.arrive(json!({})).await.1), "/welcome");

    sqlx::query("update organisations set suspended_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    let refused = rig.app.person().submit(START, &[("email", ADA)]).await;
    assert!(refused.status == 422 && refused.text.contains("No single sign-on is set up"));
    rig.app.stop().await;
}

#[sqlx::test]
async fn whoever_comes_by_a_provider_that_is_deleted_at_this_moment_is_not_signed_in(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.save("viewer").await;
    assert_eq!(leads_to(&rig.arrive(json!({})).await.1), "/welcome");
    let mut tx = pool.begin().await.unwrap();
    let people = sqlx::query("select from users for update");
    people.execute(&mut *tx).await.unwrap();
    let deleted = async {
        // Who it is was decided; the session is about to begin.
        waiting(&pool, 1).await;
        let deleted = rig.msp.delete("/single-sign-on").await;
        tx.commit().await.unwrap();
        deleted.status
    };
    let ((_, answer), deleted) = tokio::join!(rig.arrive(json!({})), deleted);
    assert_eq!(deleted, 204);
    assert_eq!(leads_to(&answer), "/sign-in?done=late");
    rig.app.stop().await;
}

#[sqlx::test]
async fn sessions_of_one_provider_share_a_counter_and_do_not_block_others(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    let ada = rig.app.colleague(&rig.owner, ADA, "editor", "").await;
    let page = "/settings/security/password";
    let fields = |present| {
        [
            ("present_password", present),
            ("new_password", "a scarf for every swan"),
        ]
    };
    // The provider's administrator signs in as Ada, any number of times.
    for _ in 0..6 {
        let (posing, _) = rig.arrive(json!({})).await;
        let refused = posing.submit(page, &fields("a guess")).await;
        assert!(refused.status == 422 && !refused.text.contains("too often"));
        assert!(!posing.cookies().contains_key("signpost-known"), "no browser of Ada's");
    }
    hold_failures(&pool).await;
    let (posing, _) = rig.arrive(json!({})).await;
    assert!(posing.submit(page, &fields(PASSWORD)).await.text.contains("too often"));
    let changed = ada.submit(page, &fields(PASSWORD)).await;
    assert_eq!(leads_to(&changed), "/settings/security?done=password");
    rig.app.stop().await;
}
