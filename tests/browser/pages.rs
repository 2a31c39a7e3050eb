//! Every page, judged and photographed. A new page is a line in one of the tables.
use signpost::demo;
use sqlx::PgPool;

use crate::{
    app::eventually,
    chromium::Scripts,
    people::PASSWORD,
    portal::{EMAIL, Portal},
};

/// For whoever is not signed in: the picture's name, and the path.
const PUBLIC: &[(&str, &str)] = &[
    ("front", "/"),
    ("sign-up", "/sign-up"),
    ("sign-up-sent", "/sign-up/sent"),
    ("confirm-over", "/sign-up/confirm/nonsense"),
    ("sign-in", "/sign-in"),
    ("sign-in-after-sign-out", "/sign-in?done=signed-out"),
    ("single-sign-on", "/sign-in/single-sign-on"),
    ("single-sign-on-refused", "/sign-in/single-sign-on/callback"),
    ("password-forgotten", "/password/forgotten"),
    ("password-sent", "/password/sent"),
    ("password-over", "/password/new/nonsense"),
    ("mails-none", "/mails"),
    ("docs", "/docs"),
];

/// For whoever is signed in.
const OF_MEMBERS: &[(&str, &str)] = &[
    ("overview", "/"),
    ("welcome", "/welcome"),
    ("sign-out", "/sign-out"),
    ("mails", "/mails"),
    ("fault-404", "/nonsense"),
];

/// With a month of example data: every page that shows something. `{…}` stands for the id of what the demo has.
const OF_THE_DEMO: &[(&str, &str)] = &[
    ("demo-overview", "/"),
    ("demo-domains", "/domains"),
    ("demo-domains-active", "/domains?status=active"),
    ("demo-domains-none", "/domains?q=zzz"),
    ("demo-domain", "/domains/contoso.example"),
    (
        "demo-domain-preview",
        "/domains/contoso.example?user=ada%40contoso.example&family=Mac",
    ),
    ("demo-domain-pending", "/domains/woodgrove.example"),
    ("demo-rules", "/domains/contoso.example/rules"),
    ("demo-domain-delete", "/domains/contoso.example/delete"),
    ("demo-domain-new", "/domains/new"),
    ("demo-import", "/domains/import"),
    ("demo-clients", "/clients"),
    ("demo-client", "/clients/{client}"),
    ("demo-client-new", "/clients/new"),
    ("demo-client-delete", "/clients/{client}/delete"),
    ("demo-server", "/servers/{server}"),
    ("demo-server-new", "/clients/{client}/servers/new"),
    ("demo-requests", "/requests"),
    ("demo-requests-refused", "/requests?since=nonsense"),
    ("demo-settings", "/settings"),
    ("demo-organisation", "/settings/organisation"),
    ("demo-privacy", "/settings/privacy"),
    ("demo-branding", "/settings/branding"),
    ("demo-members", "/settings/members"),
    ("demo-tokens", "/settings/tokens"),
    ("demo-single-sign-on", "/settings/single-sign-on"),
    ("demo-webhooks", "/settings/webhooks"),
    ("demo-audit", "/settings/audit"),
    ("demo-security", "/settings/security"),
];

/// For whoever runs this Signpost.
const OF_OPERATORS: &[(&str, &str)] = &[
    ("operator", "/operator"),
    ("operator-none-found", "/operator?q=zzz"),
    ("operator-unknown-domains", "/operator/unknown-domains"),
];

#[sqlx::test]
async fn pages_for_everybody_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    for (page, path) in PUBLIC {
        portal.look(page, path).await;
    }
    portal.stop().await;
}

#[sqlx::test]
async fn pages_for_members_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.sign_up().await;
    for (page, path) in OF_MEMBERS {
        portal.look(page, path).await;
    }
    portal.stop().await;
}

#[sqlx::test]
async fn pages_that_show_a_month_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool.clone(), Scripts::Run).await;
    let password = portal.fill_demo().await;
    portal.open("/sign-in").await;
    portal.fill("email", demo::EMAIL).await;
    portal.fill("password", &password).await;
    portal.press("Sign in").await;
    portal.arrives("/").await;
    let id = async |statement: &'static str| -> String {
        let id: uuid::Uuid = sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap();
        id.to_string()
    };
    let client = id("select client_id from domains where hostname = 'contoso.example'").await;
    let server = id("select mdm_server_id from policy_servers join domains using (domain_id) where hostname = 'contoso.example' limit 1").await;
    for (page, path) in OF_THE_DEMO {
        let path = path.replace("{client}", &client).replace("{server}", &server);
        portal.look(page, &path).await;
    }
    portal.stop().await;
}

#[sqlx::test]
async fn pages_for_operators_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool.clone(), Scripts::Run).await;
    let another = portal
        .app
        .msp("An organisation whose name is as long as names of organisations are, GmbH & Co. KG")
        .await;
    portal.app.suspend(&another).await;
    portal.sign_up().await;
    portal.make_operator().await;
    portal
        .look("operator-unknown-domains-none", "/operator/unknown-domains")
        .await;
    let long = format!(
        "{}.example",
        "a-label-of-a-name-that-is-long.".repeat(5).trim_end_matches('.')
    );
    for hostname in ["contoso.example", &long] {
        portal.app.ask(hostname, "?model-family=Mac").await;
    }
    eventually(|| async {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from requests");
        count.fetch_one(&pool).await.unwrap() == 2
    })
    .await;
    for (page, path) in OF_OPERATORS {
        portal.look(page, path).await;
    }
    let organisations: Vec<uuid::Uuid> = sqlx::query_scalar("select organisation_id from organisations order by 1")
        .fetch_all(&pool)
        .await
        .unwrap();
    for (id, page) in organisations.into_iter().zip(["operator-suspended", "operator-own"]) {
        portal.look(page, &format!("/operator/organisations/{id}")).await;
    }
    let served = portal.app.msp("Acme IT").await.organisation_id;
    portal
        .look("operator-organisation", &format!("/operator/organisations/{served}"))
        .await;
    portal.fill("reason", "Unpaid since May").await;
    portal.press("Suspend").await;
    portal.sees(".notice").await;
    assert!(
        portal
            .words()
            .await
            .contains("None of its domains is answered any more.")
    );
    portal.stop().await;
}

#[sqlx::test]
async fn forms_that_come_back_and_links_of_mails_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.open("/sign-up").await;
    for (name, text) in [
        ("organisation", "<script>alert(1)</script>"),
        (
            "name",
            "Ada Lovelace-with-a-name-that-goes-on-and-on-and-never-ends-not-even-here",
        ),
        ("email", EMAIL),
        ("password", "short"),
    ] {
        portal.fill(name, text).await;
    }
    portal.press("Sign up").await;
    portal.sees(".error").await;
    portal.look_here("sign-up-refused").await;

    portal.fill("password", PASSWORD).await;
    portal.press("Sign up").await;
    portal.arrives("/sign-up/sent").await;
    let confirm = portal.mailed(EMAIL).await;
    // As in another browser, where the password is chosen.
    portal.browser.client.delete_all_cookies().await.unwrap();
    portal.look("confirm", &confirm).await;
    portal.fill("password", "short").await;
    portal.press("Confirm").await;
    portal.sees(".error").await;
    portal.look_here("confirm-refused").await;
    portal.fill("password", "a scarf for every swan").await;
    portal.press("Confirm").await;
    portal.arrives("/welcome").await;
    portal.sign_out().await;

    portal.fill("email", EMAIL).await;
    portal.fill("password", "not the password").await;
    portal.press("Sign in").await;
    portal.sees(".complaint").await;
    portal.look_here("sign-in-refused").await;

    portal.open("/password/forgotten").await;
    portal.fill("email", EMAIL).await;
    portal.press("Send the link").await;
    portal.arrives("/password/sent").await;
    let new = portal.mailed(EMAIL).await;
    portal.look("password-new", &new).await;

    // A form that was open for too long.
    portal.open("/sign-in").await;
    portal.browser.client.delete_all_cookies().await.unwrap();
    portal.fill("email", EMAIL).await;
    portal.fill("password", PASSWORD).await;
    portal.press("Sign in").await;
    portal.sees(".typed").await;
    portal.look_here("fault-403").await;
    portal.stop().await;
}
