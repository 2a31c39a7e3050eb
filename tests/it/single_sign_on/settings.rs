//! Setting it up: on the page and by the API, and what is refused.
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    provider::{Answering, CLIENT, Provider, SECRET, nobody},
    rig::{DOMAIN, PAGE, Rig},
};
use crate::people::leads_to;

const PATH: &str = "/single-sign-on";

fn wanted(rig: &Rig, more: &Value) -> Value {
    let mut wanted = json!({
        "issuer": rig.provider.issuer, "client_id": CLIENT, "client_secret": SECRET, "mail_domains": [DOMAIN],
    });
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    wanted
}

#[sqlx::test]
async fn what_can_not_be_so_is_said_at_its_field(pool: PgPool) {
    let rig = Rig::start(pool).await;
    rig.msp.register("unproved.example").await;
    let other = rig.app.msp("Other").await;
    other.register("elsewhere.example").await;
    rig.app.take_word("elsewhere.example").await;
    let gone = format!("http://{}", nobody().await);
    for (field, value, words) in [
        (
            "issuer",
            "https://login.microsoftonline.com/common/v2.0",
            "every Microsoft tenant",
        ),
        ("issuer", "http://accounts.google.com", "must be an https address"),
        ("issuer", "<script>", "must be an https address"),
        ("issuer", &*gone, "can&#39;t be asked"),
        ("issuer", "http://[::1]:1", "not a public address"),
        ("issuer", "https://10.0.0.1", "not a public address"),
        ("issuer", &*format!("{}/", rig.provider.issuer), "says that it is"),
        ("issuer", &*format!("{}/other", rig.provider.issuer), "answers 404"),
        ("client_id", "", "must have 1 to 500 characters"),
        ("client_secret", &*"a".repeat(501), "must have 1 to 500 characters"),
        ("mail_domains", "", "must name at least one"),
        ("mail_domains", "contoso.com", "is not one of your domains"),
        ("mail_domains", "unproved.example", "is not verified yet"),
        (
            "mail_domains",
            "acme.example\nelsewhere.example",
            "is verified by another organisation",
        ),
        ("mail_domains", "co.uk", "public suffix"),
        ("new_member_role", "owner", "must be viewer or editor"),
    ] {
        let mut fields = vec![
            ("issuer", rig.provider.issuer.as_str()),
            ("client_id", CLIENT),
            ("client_secret", SECRET),
            ("mail_domains", DOMAIN),
            ("new_member_role", ""),
        ];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let answer = rig.owner.submit(PAGE, &fields).await;
        assert!(
            answer.status == 422 && answer.text.contains(words),
            "{field}={value}: {}",
            answer.text
        );
        assert!(
            !answer.text.contains(SECRET) && !answer.text.contains("a secret:"),
            "{field}={value}"
        );
    }
    for (name, value, words) in [
        ("issuer", json!("https://another.example"), "says that it is"),
        (
            "response_types_supported",
            json!(["id_token", "code id_token"]),
            "authorization code flow",
        ),
        ("grant_types_supported", json!(["implicit"]), "authorization code flow"),
        ("token_endpoint", Value::Null, "authorization code flow"),
        (
            "id_token_signing_alg_values_supported",
            json!(["HS256", "none", "ES512", "X"]),
            "signs with nothing",
        ),
        ("jwks_uri", json!("ftp://a.example"), "not https"),
        ("jwks_uri", json!(7), "there is no OpenID configuration"),
    ] {
        rig.provider.ways().configuration = vec![(name, value)];
        let problem = rig.msp.call("PUT", PATH, Some(wanted(&rig, &json!({})))).await;
        assert_eq!(problem.pointers(), ["/issuer"], "{name}");
        assert!(problem.text.contains(words), "{name}: {}", problem.text);
        rig.provider.mend();
    }
    for answering in [
        Answering::NoJson,
        Answering::TooMuch,
        Answering::Endless,
        Answering::Silent,
    ] {
        rig.provider.ways().at_configuration = answering;
        let problem = rig.msp.call("PUT", PATH, Some(wanted(&rig, &json!({})))).await;
        assert_eq!(problem.pointers(), ["/issuer"], "{answering:?}");
        rig.provider.mend();
    }
    rig.app.stop().await;
}

#[sqlx::test]
async fn the_secret_is_told_to_nobody_and_goes_to_no_other_issuer(pool: PgPool) {
    let rig = Rig::start(pool.clone()).await;
    let other = Provider::start().await;
    let without = |more: Value| {
        let mut body = wanted(&rig, &more);
        body.as_object_mut().unwrap().remove("client_secret");
        body
    };
    let kept = rig
        .msp
        .call("PUT", PATH, Some(without(json!({"new_member_role": "viewer"}))))
        .await;
    assert_eq!(
        (kept.status, kept.json()["new_member_role"].clone()),
        (200, json!("viewer"))
    );
    for more in [json!({"issuer": other.issuer}), json!({"client_id": "another"})] {
        let refused = rig.msp.call("PUT", PATH, Some(without(more))).await;
        assert_eq!(refused.pointers(), ["/client_secret"]);
    }
    for text in [
        rig.msp.get(PATH).await.text,
        rig.owner.get(PAGE).await.text,
        rig.msp.get("/audit-events").await.text,
    ] {
        assert!(
            text.contains(&rig.provider.issuer) && !text.contains("odd+characters"),
            "{text}"
        );
    }
    let plain: i64 = sqlx::query_scalar(
        "select count(*) from identity_providers where position('odd'::bytea in client_secret_sealed) > 0",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(plain, 0);
    rig.app.stop().await;
}

#[sqlx::test]
async fn another_issuer_knows_nobody_yet_and_ends_what_the_one_before_began(pool: PgPool) {
    let mut rig = Rig::start(pool.clone()).await;
    rig.save("viewer").await;
    let (person, answer) = rig.arrive(json!({})).await;
    assert_eq!(leads_to(&answer), "/welcome");
    let before = std::mem::replace(&mut rig.provider, Provider::start().await);
    rig.save("").await;
    assert_eq!(leads_to(&person.get("/domains").await), "/sign-in?next=%2Fdomains");
    // The same subject is somebody else's there; the address leads to the member.
    let (_, answer) = rig.arrive(json!({"email": "eve@acme.example"})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(leads_to(&rig.arrive(json!({})).await.1), "/welcome");
    drop(before);

    assert_eq!(rig.msp.delete(PATH).await.status, 204);
    rig.msp.delete(PATH).await.problem(404, "not_found");
    rig.msp.get(PATH).await.problem(404, "not_found");
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from identities) + (select count(*) from identity_provider_domains)
              + (select count(*) from sessions where identity_provider_id is not null)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
    let actions: Vec<String> = sqlx::query_scalar(
        "select action from audit_events where subject_kind = 'identity_provider' order by audit_event_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(actions.first().unwrap(), "identity_provider.created");
    assert_eq!(actions.last().unwrap(), "identity_provider.deleted");
    assert_eq!(
        actions
            .iter()
            .filter(|action| *action == "identity_provider.changed")
            .count(),
        2
    );
    rig.app.stop().await;
}

#[sqlx::test]
async fn only_whoever_administers_sees_or_changes_it_and_each_organisation_its_own(pool: PgPool) {
    let rig = Rig::start(pool).await;
    let editor = rig.app.colleague(&rig.owner, "ed@acme.example", "editor", "").await;
    for page in [PAGE, "/settings/single-sign-on/delete"] {
        assert_eq!(editor.get(page).await.status, 403, "{page}");
        assert_eq!(editor.submit_to("/settings", page, &[]).await.status, 403, "{page}");
    }
    let token = json!({"name": "CI", "scopes": ["domains:write", "requests:read"]});
    let token = rig.msp.post("/tokens", token).await.json();
    let program = rig
        .app
        .program(rig.msp.organisation_id, token["token"].as_str().unwrap());
    for (method, body) in [("GET", None), ("PUT", Some(wanted(&rig, &json!({})))), ("DELETE", None)] {
        program.call(method, PATH, body).await.problem(403, "forbidden");
    }
    let other = rig.app.msp("Other").await;
    other.get(PATH).await.problem(404, "not_found");
    other.delete(PATH).await.problem(404, "not_found");
    let problem = other.call("PUT", PATH, Some(wanted(&rig, &json!({})))).await;
    assert_eq!(problem.pointers(), ["/mail_domains/0"]);
    let domain = rig.msp.get(PATH).await.json()["mail_domains"][0].take();
    assert_eq!(
        (&domain["hostname"], &domain["is_proved"]),
        (&json!(DOMAIN), &json!(true))
    );
    rig.app.stop().await;
}
