//! What a provider answers, and what does not open the door.
use serde_json::json;
use sqlx::PgPool;

use super::{
    provider::{Answering, Signing, nobody},
    rig::{DOMAIN, Rig, START, back, is_refused, sent},
};
use crate::people::leads_to;

#[sqlx::test]
async fn somebody_goes_to_the_provider_and_comes_back_signed_in(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.app.colleague(&rig.owner, "ada@acme.example", "editor", "").await;
    let person = rig.app.person();
    let first = person.get("/sign-in?next=%2Fdomains%3Fq%3Da").await;
    assert!(
        first.text.contains("/sign-in/single-sign-on?next=%2Fdomains%3Fq%3Da"),
        "{}",
        first.text
    );
    let page = person
        .submit(START, &[("email", "Ada@ACME.example"), ("next", "/welcome")])
        .await;
    let sent = sent(&page);
    // What goes along, and that our own address holds nothing of a person.
    assert_eq!(
        sent.url.as_str().split('?').next().unwrap(),
        format!("{}/authorize", rig.provider.issuer)
    );
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "signpost"),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
        ("login_hint", "ada@acme.example"),
        (
            "redirect_uri",
            &*format!("http://portal.signpost.test:{}{START}/callback", rig.app.http.port()),
        ),
    ] {
        assert_eq!(sent.query[name], value);
    }
    assert!(sent.query["state"].len() >= 32 && sent.query["nonce"].len() >= 32);
    let code = rig.provider.consent(&sent, json!({}));
    let back_ = back(&sent, &code);
    let arrived = person.get(&back_).await;
    assert_eq!(leads_to(&arrived), "/welcome");
    assert_eq!(person.get("/domains").await.status, 200);
    // Once: neither the same again, nor by somebody who has seen the address.
    is_refused(&rig.app.person().get(&back_).await, "used already");
    is_refused(&person.get(&back_).await, "used already");

    // From then on by the subject, whatever address the provider has now.
    let (person, arrived) = rig
        .arrive(json!({"email": "lovelace@elsewhere.example", "email_verified": false}))
        .await;
    assert_eq!(leads_to(&arrived), "/welcome");
    let security = person.get("/settings/security").await;
    assert!(security.text.contains("ada@acme.example"), "{}", security.text);
    let linked: i64 = sqlx::query_scalar("select count(*) from audit_events where action = 'identity.linked'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(linked, 1);
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_token_that_is_wrong_in_any_way_lets_nobody_in(pool: PgPool) {
    let rig = Rig::start(pool).await;
    rig.app.colleague(&rig.owner, "ada@acme.example", "editor", "").await;
    let now = crate::clock::now().timestamp();
    let words = "can be believed";
    for signing in [
        Signing::WithAnotherKey,
        Signing::NotAtAll,
        Signing::WithThePublicKey,
        Signing::WithTheSecret,
        Signing::ThenChanged,
    ] {
        rig.provider.ways().signing = signing;
        let (_, answer) = rig.arrive(json!({})).await;
        assert_eq!(answer.status, 422, "{signing:?}");
        is_refused(&answer, words);
    }
    rig.provider.mend();
    for claims in [
        json!({"iss": "https://accounts.google.com"}),
        json!({"iss": format!("{}/", rig.provider.issuer)}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": ["signpost", "another"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"azp": "another"}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"exp": now - 1}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"iat": now + 600}),
        json!({"iat": null}),
        json!({"sub": null}),
        json!({"sub": 7}),
        json!({"sub": {"a": "b"}}),
        json!({"sub": ""}),
        json!({"sub": "a".repeat(256)}),
        json!({"sub": "a\u{0}b"}),
        json!({"email": ["ada@acme.example"]}),
    ] {
        let (_, answer) = rig.arrive(claims.clone()).await;
        assert_eq!(answer.status, 422, "{claims}");
        is_refused(&answer, words);
    }
    // What is odd and does no harm.
    for claims in [
        json!({"aud": ["signpost"], "azp": "signpost"}),
        json!({"iat": now + 120}),
        json!({"iat": now - 600}),
        json!({"updated_at": "2026-11-01T09:00:00Z", "roles": [{"a": [1]}], "xms_edov": []}),
    ] {
        let (_, answer) = rig.arrive(claims.clone()).await;
        assert_eq!(answer.status, 303, "{claims}: {}", answer.text);
    }
    rig.app.stop().await;
}

#[sqlx::test]
async fn an_attempt_is_for_one_browser_one_provider_and_ten_minutes(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.app.colleague(&rig.owner, "ada@acme.example", "editor", "").await;
    let person = rig.app.person();
    let sent = rig.send(&person, "ada@acme.example").await;
    let code = rig.provider.consent(&sent, json!({}));
    let path = back(&sent, &code);
    // Somebody else's browser, with a cookie of its own and without.
    let other = rig.app.person();
    is_refused(&other.get(&path).await, "another browser");
    other.get("/sign-in").await;
    is_refused(&other.get(&path).await, "another browser");
    for state in ["", "nonsense", &"a".repeat(32), &"a".repeat(10_000)] {
        is_refused(
            &person.get(&format!("{START}/callback?code={code}&state={state}")).await,
            "another browser",
        );
    }
    // That was none of the attempt's.
    assert_eq!(leads_to(&person.get(&path).await), "/welcome");

    // An answer that says it is another provider's is not brought to this one.
    let person = rig.app.person();
    let sent = rig.send(&person, "ada@acme.example").await;
    let code = rig.provider.consent(&sent, json!({}));
    let path = format!("{}&iss=https%3A%2F%2Fother.example", back(&sent, &code));
    is_refused(&person.get(&path).await, "can be believed");
    // A code that was given to somebody else has another verifier.
    let (one, two) = (rig.app.person(), rig.app.person());
    let of_one = rig.send(&one, "ada@acme.example").await;
    let of_two = rig.send(&two, "ada@acme.example").await;
    let code = rig.provider.consent(&of_one, json!({}));
    is_refused(&two.get(&back(&of_two, &code)).await, "can be believed");

    let late = rig.send(&one, "ada@acme.example").await;
    let minutes: Vec<i64> = sqlx::query_scalar(
        "select distinct (extract(epoch from expires_at - created_at) / 60)::bigint from single_sign_on_attempts",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(minutes, [10]);
    let code = rig.provider.consent(&late, json!({}));
    sqlx::query("update single_sign_on_attempts set expires_at = now() - interval '1 second'")
        .execute(&pool)
        .await
        .unwrap();
    is_refused(&one.get(&back(&late, &code)).await, "ten minutes");
    // The provider's own refusal, in our words.
    let sent = rig.send(&one, "ada@acme.example").await;
    let path = format!(
        "{START}/callback?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E&state={}",
        sent.query["state"]
    );
    let answer = one.get(&path).await;
    is_refused(&answer, "did not let you in");
    assert!(!answer.text.contains("alert("));
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_provider_that_answers_badly_costs_time_and_memory_within_bounds(pool: PgPool) {
    let rig = Rig::start(pool).await;
    rig.app.colleague(&rig.owner, "ada@acme.example", "editor", "").await;
    for answering in [
        Answering::Endless,
        Answering::TooMuch,
        Answering::NoJson,
        Answering::DeepJson,
        Answering::Error,
        Answering::Silent,
    ] {
        let person = rig.app.person();
        for at in ["token", "keys"] {
            rig.provider.mend();
            let sent = rig.send(&person, "ada@acme.example").await;
            let code = rig.provider.consent(&sent, json!({}));
            match at {
                "token" => rig.provider.ways().at_token = answering,
                _ => rig.provider.ways().at_keys = answering,
            }
            let answer = person.get(&back(&sent, &code)).await;
            assert_eq!(answer.status, 422, "{at}, {answering:?}: {}", answer.text);
        }
        rig.provider.mend();
        rig.provider.ways().at_configuration = answering;
        let answer = person.submit(START, &[("email", "ada@acme.example")]).await;
        assert_eq!(answer.status, 422, "{answering:?}");
        assert!(answer.text.contains("be reached at this moment"), "{answering:?}");
    }
    rig.app.stop().await;
}

#[sqlx::test]
async fn nothing_behind_our_own_firewall_is_asked_for_a_provider(pool: PgPool) {
    let rig = Rig::start(pool).await;
    rig.app.colleague(&rig.owner, "ada@acme.example", "editor", "").await;
    let gone = nobody().await;
    for (endpoint, address) in [
        ("token_endpoint", "http://10.0.0.1/token".to_owned()),
        ("token_endpoint", "https://169.254.169.254/latest".to_owned()),
        ("jwks_uri", "http://[::1]/keys".to_owned()),
        ("jwks_uri", format!("http://{gone}/keys")),
    ] {
        rig.provider.mend();
        rig.provider.ways().configuration = vec![(endpoint, json!(address))];
        let (_, answer) = rig.arrive(json!({})).await;
        is_refused(&answer, "be reached at this moment");
    }
    // Whoever is sent on is sent to the web.
    for address in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://a.example/",
    ] {
        rig.provider.mend();
        rig.provider.ways().configuration = vec![("authorization_endpoint", json!(address))];
        let answer = rig.app.person().submit(START, &[("email", "ada@acme.example")]).await;
        assert_eq!(answer.status, 422, "{address}");
    }
    rig.app.stop().await;
}

#[sqlx::test]
async fn a_domain_counts_as_long_as_it_is_proved(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    rig.app.colleague(&rig.owner, "ada@acme.example", "editor", "").await;
    let (_, arrived) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&arrived), "/welcome");
    // It is lost while somebody signs in, whom the provider has meant before.
    let person = rig.app.person();
    let sent = rig.send(&person, "ada@acme.example").await;
    let code = rig.provider.consent(&sent, json!({}));
    let unprove = "update domains set ownership_verified_at = null, ownership_proof = null where hostname = $1";
    sqlx::query(unprove).bind(DOMAIN).execute(&pool).await.unwrap();
    is_refused(&person.get(&back(&sent, &code)).await, "was changed, or ended");
    let answer = person.submit(START, &[("email", "ada@acme.example")]).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("No single sign-on is set up"));
    // Another organisation that proves it now has nothing of this one's provider.
    let other = rig.app.msp("Other").await;
    other.register(DOMAIN).await;
    let prove = "update domains set ownership_verified_at = now(), ownership_proof = 'operator' where hostname = $1 and organisation_id = $2";
    let proved = sqlx::query(prove)
        .bind(DOMAIN)
        .bind(other.organisation_id)
        .execute(&pool)
        .await;
    assert_eq!(proved.unwrap().rows_affected(), 1);
    let answer = person.submit(START, &[("email", "ada@acme.example")]).await;
    assert!(answer.text.contains("No single sign-on is set up"));
    assert!(
        rig.owner
            .get("/settings/single-sign-on")
            .await
            .text
            .contains("does not hold this domain now")
    );
    rig.app.stop().await;
}

#[sqlx::test]
async fn whoever_asks_for_an_address_learns_of_no_person(pool: PgPool) {
    let rig = Rig::start(pool).await;
    let person = rig.app.person();
    for email in ["owner@acme.example", "nobody@acme.example"] {
        let sent = rig.send(&person, email).await;
        assert_eq!(sent.query["login_hint"], email);
    }
    for email in ["ada@contoso.com", "ada@sub.acme.example"] {
        let answer = person.submit(START, &[("email", email)]).await;
        assert!(
            answer.status == 422 && answer.text.contains("No single sign-on is set up"),
            "{email}"
        );
    }
    for email in ["", "ada", "ada@acme.example\r\nx"] {
        assert_eq!(person.submit(START, &[("email", email)]).await.status, 422, "{email:?}");
    }
    assert_eq!(
        person.post_raw(START, &[("email", "ada@acme.example")]).await.status,
        403
    );
    rig.app.stop().await;
}
