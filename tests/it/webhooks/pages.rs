//! The pages under `/settings/webhooks`.
use sqlx::PgPool;

use super::receiver::Receiver;
use crate::{
    app::{TestApp, eventually},
    people::{Person, csrf_in, leads_to},
};

const EMAIL: &str = "ada@msp.example";
const LIST: &str = "/settings/webhooks";

async fn add(person: &Person, url: &str) -> (String, String) {
    let fields = [
        ("url", url),
        ("description", "Tickets & <b>"),
        ("events", "certificate.issued"),
        ("events", "domain.first_request"),
        ("client_id", ""),
    ];
    let added = person.submit(LIST, &fields).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let secret = added.text.split_once("<code>whsec_").unwrap().1;
    let secret = format!("whsec_{}", html_text(secret.split('<').next().unwrap()));
    let list = person.get(LIST).await.text;
    assert!(
        list.contains("Tickets &#38; &#60;b&#62;") && !list.contains("whsec_"),
        "{list}"
    );
    let id = list.split_once("href=\"/settings/webhooks/").unwrap().1;
    (format!("{LIST}/{}", id.split('"').next().unwrap()), secret)
}

fn html_text(text: &str) -> String {
    text.replace("&#43;", "+").replace("&#47;", "/").replace("&#61;", "=")
}

#[sqlx::test]
async fn an_admin_adds_tests_replays_changes_and_deletes_an_endpoint(pool: PgPool) {
    let app = TestApp::start_with(pool, &[("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8")]).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let empty = person.get(LIST).await;
    assert!(empty.text.contains("There is none yet"), "{}", empty.text);
    let receiver = Receiver::start().await;
    let (page, secret) = add(&person, &receiver.url()).await;
    let tested = person.submit_to(&page, &format!("{page}/test"), &[]).await;
    assert_eq!(leads_to(&tested), format!("{page}?done=test"));
    receiver.comes().await;
    assert!(receiver.received()[0].is_signed_by(&secret));
    eventually(|| async { person.get(&page).await.text.contains(">Delivered<") }).await;
    let shown = person.get(&page).await.text;
    assert!(shown.contains("webhook.test") && shown.contains("204 in "), "{shown}");
    let replay = shown
        .split("action=\"")
        .find(|rest| rest.contains("/replay\""))
        .unwrap();
    let replay = replay.split('"').next().unwrap();
    let replayed = person.post_raw(replay, &[("csrf", &csrf_in(&shown))]).await;
    assert_eq!(leads_to(&replayed), format!("{page}?done=replay"));
    receiver.comes().await;

    let rotated = person.submit_to(&page, &format!("{page}/rotate-secret"), &[]).await;
    assert!(rotated.text.contains("whsec_") && !rotated.text.contains(&secret));

    let wrong = [("url", "ftp://x"), ("description", "kept"), ("events", "nothing")];
    let refused = person.submit(&page, &wrong).await;
    assert_eq!(refused.status, 422);
    for text in [
        "value=\"ftp://x\"",
        "value=\"kept\"",
        "choose at least one",
        "must be an absolute address",
    ] {
        assert!(refused.text.contains(text), "{text}: {}", refused.text);
    }
    let right = [
        ("url", "https://hooks.acme.example/"),
        ("events", "certificate.failed"),
        ("description", ""),
    ];
    assert_eq!(
        leads_to(&person.submit(&page, &right).await),
        format!("{page}?done=changed")
    );
    for deed in ["disable", "enable", "disable"] {
        let done = person.submit_to(&page, &format!("{page}/{deed}"), &[]).await;
        assert_eq!(leads_to(&done), format!("{page}?done={deed}"));
    }
    assert!(person.get(LIST).await.text.contains(">Disabled<"));
    let tested = person.submit_to(&page, &format!("{page}/test"), &[]).await;
    assert_eq!(leads_to(&tested), format!("{page}?done=is-disabled"));
    let deleted = person.submit_to(&page, &format!("{page}/delete"), &[]).await;
    assert_eq!(leads_to(&deleted), "/settings/webhooks?done=deleted");
    assert_eq!(person.get(&page).await.status, 404);
    app.stop().await;
}

#[sqlx::test]
async fn a_refused_endpoint_comes_back_as_it_was_typed(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let long = format!("https://a.example/{}", "a".repeat(2_048));
    let stranger = uuid::Uuid::now_v7().to_string();
    for (url, event, client, complaint) in [
        ("", "certificate.issued", "", "The URL must be"),
        ("javascript:alert(1)", "certificate.issued", "", "The URL must be"),
        (
            "https://u:p@a.example/",
            "certificate.issued",
            "",
            "user name or password",
        ),
        (&long, "certificate.issued", "", "at most 2048"),
        ("https://a.example/", "certificate.lost", "", "choose at least one"),
        ("https://a.example/", "certificate.issued", "x", "is no client of yours"),
        (
            "https://a.example/",
            "certificate.issued",
            &stranger,
            "is no client of yours",
        ),
    ] {
        let fields = [
            ("url", url),
            ("events", event),
            ("client_id", client),
            ("description", "<script>"),
        ];
        let refused = person.submit(LIST, &fields).await;
        assert_eq!(refused.status, 422, "{url} {event} {client}");
        assert!(refused.text.contains(complaint), "{complaint}: {}", refused.text);
        assert!(refused.text.contains("&#60;script&#62;") && !refused.text.contains("<script>"));
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_viewer_and_a_stranger_see_and_change_nothing(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let (page, _) = add(&person, "https://hooks.acme.example/").await;
    let stranger = app.owner("Other IT", "eve@other.example").await;
    let deeds = ["", "/test", "/rotate-secret", "/enable", "/disable", "/delete"];
    let fields = [
        ("url", "https://evil.example/"),
        ("events", "certificate.issued"),
        ("description", ""),
    ];
    assert_eq!(stranger.get(&page).await.status, 404);
    for deed in deeds {
        let answer = stranger.submit_to(LIST, &format!("{page}{deed}"), &fields).await;
        assert_eq!(answer.status, 404, "{deed}");
        let forged = person.post_raw(&format!("{page}{deed}"), &fields).await;
        assert_eq!(forged.status, 403, "{deed}");
    }
    let csrf = person.csrf(LIST).await;
    let demote = "update memberships set role = 'viewer' where organisation_id = (select organisation_id from organisations where name = 'Acme IT')";
    sqlx::query(demote).execute(&pool).await.unwrap();
    for path in [LIST, &page] {
        assert_eq!(person.get(path).await.status, 403, "{path}");
    }
    for path in deeds
        .map(|deed| format!("{page}{deed}"))
        .iter()
        .chain([&LIST.to_owned()])
    {
        let fields = [("csrf", csrf.as_str())].into_iter().chain(fields).collect::<Vec<_>>();
        assert_eq!(person.post_raw(path, &fields).await.status, 403, "{path}");
    }
    let left = sqlx::query_scalar::<_, String>("select url from webhook_endpoints where disabled_at is null");
    assert_eq!(left.fetch_all(&pool).await.unwrap(), ["https://hooks.acme.example/"]);
    app.stop().await;
}
