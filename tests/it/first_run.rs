//! From the sign-up to the instructions: one form on one page.
use sqlx::PgPool;

use crate::{
    app::{TENANT, TestApp},
    colleagues::{HOSTILE, assert_refused, client_id, colleague, escaped},
    entra::Entra,
    people::{Person, leads_to},
};

const EMAIL: &str = "ada@msp.example";

async fn registered(pool: &PgPool) -> Vec<(String, String, serde_json::Value)> {
    let query = "select d.hostname, c.name, m.parameters
                   from domains d join clients c using (client_id)
                   join policy_servers p using (domain_id) join mdm_servers m using (mdm_server_id)
                  order by d.hostname";
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

async fn none_registered(pool: &PgPool) -> bool {
    let count: i64 = sqlx::query_scalar("select (select count(*) from domains) + (select count(*) from clients)")
        .fetch_one(pool)
        .await
        .unwrap();
    count == 0
}

async fn fill_in(person: &Person, more: &[(&str, &str)]) -> crate::app::Answer {
    let fields = [("client", "Contoso"), ("hostname", "contoso.com"), ("mdm", "intune")];
    let fields: Vec<_> = fields.iter().chain(more).copied().collect();
    person.submit("/welcome", &fields).await
}

#[sqlx::test]
async fn a_client_a_domain_and_a_tenant_that_is_looked_up_lead_to_the_instructions(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let shown = fill_in(&person, &[]).await;
    assert_eq!(shown.status, 200, "the tenant is shown first: {}", shown.text);
    assert!(
        shown
            .text
            .contains("Microsoft Entra says that contoso.com belongs to the tenant")
    );
    assert!(shown.text.contains(&format!("value=\"{TENANT}\"")), "{}", shown.text);
    assert!(shown.text.contains("value=\"Contoso\"") && shown.text.contains("value=\"contoso.com\""));
    assert!(none_registered(&pool).await);

    let done = fill_in(&person, &[("p_tenant_id", TENANT), ("p_cloud", "global")]).await;
    assert_eq!(leads_to(&done), "/domains/contoso.com?done=added");
    let parameters = serde_json::json!({"tenant_id": TENANT, "cloud": "global"});
    let expected = ("contoso.com".to_owned(), "Contoso".to_owned(), parameters);
    assert_eq!(registered(&pool).await, [expected]);
    let actors: Vec<String> =
        sqlx::query_scalar("select distinct actor_kind from audit_events where action = 'domain.created'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(actors, ["member"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_tenant_that_can_not_be_looked_up_is_asked_for_and_nothing_typed_is_lost(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    for (hostname, said) in [
        ("nobody.example", "knows no tenant that has verified nobody.example"),
        ("broken.example", "could not be asked for the tenant of broken.example"),
        ("localhost", "A single word is not a full hostname"),
    ] {
        for step in ["look-up", ""] {
            let fields = [
                ("client", "Contoso"),
                ("hostname", hostname),
                ("mdm", "intune"),
                ("step", step),
            ];
            let refused = person.submit("/welcome", &fields).await;
            assert_eq!(refused.status, 422, "{}", refused.text);
            assert!(refused.text.contains(said), "{hostname}: {}", refused.text);
            assert!(
                refused.text.contains("value=\"Contoso\"") && refused.text.contains(&format!("value=\"{hostname}\""))
            );
        }
    }
    assert!(none_registered(&pool).await);
    app.stop().await;
}

#[sqlx::test]
async fn choosing_another_mdm_by_a_button_shows_its_fields_and_loses_nothing(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let fields = [
        ("client", "Contoso"),
        ("hostname", "contoso.com"),
        ("mdm", "jamf_pro"),
        ("step", "fields"),
    ];
    let shown = person.submit("/welcome", &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    // Before the templates, which a script needs.
    let visible = shown.text.split("<template").next().unwrap();
    assert!(
        visible.contains("name=\"p_host\"") && !visible.contains("name=\"p_tenant_id\""),
        "{visible}"
    );
    assert!(visible.contains("value=\"Contoso\"") && visible.contains("value=\"contoso.com\""));

    let fields = [("client", "Contoso"), ("hostname", "contoso.com"), ("mdm", "jamf_pro")];
    let refused = person.submit("/welcome", &fields).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text.contains("This is required. Give a host"),
        "{}",
        refused.text
    );
    let fields = [
        ("client", "Contoso"),
        ("hostname", "contoso.com"),
        ("mdm", "jamf_pro"),
        ("p_host", "acme.jamfcloud.com"),
        ("enrollment", "adde"),
    ];
    assert_eq!(
        leads_to(&person.submit("/welcome", &fields).await),
        "/domains/contoso.com?done=added"
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_document_that_is_pasted_fills_in_the_mdm(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let document = r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://acme.jamfcloud.com/servicediscoveryenrollment/v1/userenroll"}]}"#;
    let shown = fill_in(&person, &[("document", document), ("step", "recognise")]).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(shown.text.contains("The document is of Jamf Pro."), "{}", shown.text);
    assert!(shown.text.contains("value=\"acme.jamfcloud.com\""));
    let refused = fill_in(&person, &[("document", "<html>"), ("step", "recognise")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains(&escaped("<html>")), "{}", refused.text);
    app.stop().await;
}

#[sqlx::test]
async fn whatever_is_typed_comes_back_as_it_was_typed(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let long = "x".repeat(40_000);
    for text in HOSTILE.into_iter().chain([long.as_str(), ""]) {
        for page in ["/welcome", "/domains/new"] {
            for (mdm, parameter) in [("intune", "p_tenant_id"), ("custom", "p_base_url"), (text, "p_host")] {
                let parameter_text = if text.is_empty() { "x" } else { text };
                let fields = [
                    ("client", text),
                    ("hostname", text),
                    ("mdm", mdm),
                    (parameter, parameter_text),
                    ("connection", text),
                    ("website_url", "x"),
                ];
                // More of them are longer than a form may be.
                let fields = if text.len() > 1_000 { &fields[1..2] } else { &fields[..] };
                let refused = person.submit(page, fields).await;
                assert_eq!(refused.status, 422, "{page} {text:?}: {}", refused.text);
                assert!(refused.text.contains(&escaped(text)), "{page} {text:?}");
                assert!(!refused.text.contains("<script>"));
            }
        }
    }
    assert!(none_registered(&pool).await);
    app.stop().await;
}

#[sqlx::test]
async fn only_who_may_write_adds_domains_and_who_sees_one_client_adds_to_that(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let tenant = [("p_tenant_id", TENANT)];
    assert_eq!(
        leads_to(&fill_in(&owner, &tenant).await),
        "/domains/contoso.com?done=added"
    );
    let fields = [
        ("client", "Contoso"),
        ("hostname", "a.example.com"),
        ("mdm", "intune"),
        tenant[0],
    ];
    for path in ["/welcome", "/domains/new"] {
        assert_refused(&app, "Acme IT", path, &fields).await;
    }
    let viewer = colleague(&app, "Acme IT", "viewer", None).await;
    assert_eq!(leads_to(&viewer.get("/welcome").await), "/");

    let contoso = client_id(&pool, "Contoso").await;
    let limited = colleague(&app, "Acme IT", "editor", Some(contoso)).await;
    let page = limited.get("/welcome").await;
    assert!(page.text.contains("value=\"Contoso\" readonly"), "{}", page.text);
    let elsewhere = [
        ("client", "Fabrikam"),
        ("hostname", "fabrikam.com"),
        ("mdm", "intune"),
        tenant[0],
    ];
    let refused = limited.submit("/welcome", &elsewhere).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("Client must be your own"), "{}", refused.text);
    assert_eq!(
        leads_to(&limited.submit("/domains/new", &fields).await),
        "/domains/a.example.com?done=added"
    );
    // Another client's server is none of theirs.
    let fields = [
        ("client", "Other"),
        ("hostname", "other.com"),
        ("mdm", "jamf_pro"),
        ("p_host", "o.jamfcloud.com"),
    ];
    assert_eq!(
        leads_to(&owner.submit("/domains/new", &fields).await),
        "/domains/other.com?done=added"
    );
    let server: uuid::Uuid = sqlx::query_scalar("select mdm_server_id from mdm_servers where vendor = 'jamf_pro'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let server = server.to_string();
    let fields = [
        ("client", "Contoso"),
        ("hostname", "b.example.com"),
        ("mdm", server.as_str()),
    ];
    let refused = limited.submit("/domains/new", &fields).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(registered(&pool).await.len(), 3);
    app.stop().await;
}
