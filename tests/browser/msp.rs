//! What somebody new does until their first client's devices are answered, and their own account is safe.
use std::fs;

use fantoccini::Locator;
use serde_json::Value;
use sqlx::PgPool;

use crate::{
    app::{TENANT, TestApp, WELL_KNOWN, eventually},
    chromium::Scripts,
    dns::{Record, TestDns, a, txt},
    people::PASSWORD,
    phone::Phone,
    portal::{EMAIL, Portal},
    visitor::Visitor,
};

const HOST: &str = "contoso.test";
const PAGE: &str = "/domains/contoso.test";
const COLLEAGUE: &str = "grace@msp.example";

#[sqlx::test]
async fn somebody_new_comes_from_the_sign_up_to_devices_that_are_answered(pool: PgPool) {
    makes_everything_work(pool, Scripts::Run).await;
}

#[sqlx::test]
async fn without_scripts_somebody_new_comes_as_far(pool: PgPool) {
    makes_everything_work(pool, Scripts::Blocked).await;
}

async fn makes_everything_work(pool: PgPool, scripts: Scripts) {
    let mut dns = TestDns::start(&[]);
    let more = [("SIGNPOST_DNS_SERVERS", &*dns.address())];
    let portal = Portal::start_with(pool, scripts, &more).await;
    portal.sign_up().await;
    names_the_first_domain(&portal).await;

    portal.shows("Add the TXT record").await;
    let records = read_records(&portal).await;
    assert_eq!(portal.count(".records .seen.ok").await, 0);
    dns.change(&records);
    turns_by_itself(&portal, scripts).await;

    sees_a_device(&portal).await;
    invites_a_colleague(&portal, scripts).await;
    makes_a_token(&portal).await;
    let phone = turns_on_the_second_factor(&portal).await;
    signs_out_everywhere_and_in(&portal, &phone).await;
    portal.stop().await;
}

async fn names_the_first_domain(portal: &Portal) {
    portal.fill("client", "Contoso").await;
    portal.fill("hostname", HOST).await;
    portal.choose("mdm", "intune").await;
    portal.press_without_scripts("Show its fields").await;
    portal.fill("p_tenant_id", TENANT).await;
    portal.press("Go on to the instructions").await;
    portal.arrives("/domains/contoso.test?done=added").await;
}

/// What the page tells to set, as somebody reads it who has the DNS host open beside it.
async fn read_records(visitor: &Visitor) -> Vec<Record> {
    let mut records = Vec::new();
    for row in visitor.all(".records tbody tr").await {
        let cell = async |label: &str| {
            let cell = format!("[data-label='{label}']");
            let cell = row.find(Locator::Css(&cell)).await.unwrap();
            // Without the words of the buttons.
            match cell.find(Locator::Css("code")).await {
                Ok(code) => code.text().await.unwrap(),
                Err(_) => cell.text().await.unwrap(),
            }
        };
        let (kind, name, value) = (cell("Type").await, cell("Name").await, cell("Value to set").await);
        match kind.as_str() {
            "TXT" => records.push(txt(&name, &[&value])),
            "A" => records.push(a(&name, &value)),
            _ => assert!(value.starts_with("None"), "{kind} {name} {value}"),
        }
    }
    assert_eq!(records.len(), 2, "{records:?}");
    records
}

/// Nobody presses anything: the next look is due within a minute, and the page tells of it.
async fn turns_by_itself(portal: &Portal, scripts: Scripts) {
    let head = portal.find("h1").await;
    eventually(|| async {
        // The minute is over.
        let due = sqlx::query("update domain_checks set due_at = now() where due_at > now()");
        due.execute(&portal.app.pool).await.unwrap();
        portal.load_again_without_scripts().await;
        portal.words().await.contains("Nothing is to be done")
    })
    .await;
    portal.shows("Devices of people at contoso.test are answered.").await;
    assert_eq!(
        portal.count(".records .seen.ok").await,
        portal.count(".records tbody tr").await
    );
    let is_the_same_page = head.tag_name().await.is_ok();
    assert_eq!(is_the_same_page, scripts == Scripts::Run);
    let said = portal.find("[data-live-said]").await.html(true).await.unwrap();
    assert_eq!(
        said.contains("Nothing is to be done"),
        scripts == Scripts::Run,
        "{said}"
    );
}

async fn sees_a_device(portal: &Portal) {
    assert_eq!(portal.count("#requests .legend").await, 0);
    device_of(&portal.app, "Mac").await;
    for page in [PAGE, "/"] {
        eventually(|| async {
            portal.open(page).await;
            portal.count(".legend .mac").await > 0
        })
        .await;
        for entry in portal.all(".legend .mac").await {
            assert_eq!(entry.text().await.unwrap(), "Mac 1", "{page}");
        }
        assert!(portal.count("svg.plot rect.mac").await > 0, "{page}");
    }
    portal.open("/requests").await;
    let row = portal.find(".log tbody tr").await.text().await.unwrap();
    assert!(row.contains(HOST) && row.contains("Mac"), "{row}");
    assert!(
        !row.contains("ada@"),
        "the log is for whoever helps, and names nobody: {row}"
    );
}

/// Asks as a device does, with all that it asks of a certificate.
async fn device_of(app: &TestApp, family: &str) {
    let root = fs::read(app.state_dir.join("ca.pem")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&root).unwrap()])
        .resolve(HOST, app.https)
        .build()
        .unwrap();
    let query = format!("user-identifier=ada%40{HOST}&model-family={family}");
    let url = format!("https://{HOST}:{}{WELL_KNOWN}?{query}", app.https.port());
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains(TENANT));
}

async fn invites_a_colleague(portal: &Portal, scripts: Scripts) {
    portal.open("/settings/members").await;
    portal.fill("email", COLLEAGUE).await;
    portal.tick("role", "viewer").await;
    portal.press("Send the invitation").await;
    portal.arrives("/settings/members?done=invited").await;

    let colleague = Visitor::at(&portal.base, scripts).await;
    colleague.open(&portal.mailed(COLLEAGUE).await).await;
    colleague.fill("name", "Grace Hopper").await;
    colleague.fill("password", PASSWORD).await;
    colleague.press("Join Acme IT").await;
    colleague.arrives("/").await;
    colleague.open(PAGE).await;
    colleague.shows("Nothing is to be done").await;
    assert_eq!(colleague.count("form[action$='/check'], a[href$='/delete']").await, 0);
    colleague.browser.close().await;

    portal.open("/settings/members").await;
    portal.shows("Grace Hopper").await;
}

async fn makes_a_token(portal: &Portal) {
    portal.open("/settings/tokens").await;
    portal.fill("name", "Reports").await;
    portal.tick("scopes", "domains:read").await;
    portal.press("Make the token").await;
    portal.sees("#token").await;
    let token = portal.find("#token").await.text().await.unwrap();

    let url = format!("{}/api/v1/domains", portal.base);
    let client = reqwest::Client::builder().resolve("localhost", portal.app.http);
    let asked = client
        .build()
        .unwrap()
        .get(url)
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 200);
    let domains: Value = asked.json().await.unwrap();
    assert_eq!(domains["data"][0]["hostname"], HOST, "{domains}");

    portal.follow("I have copied it").await;
    portal.arrives("/settings/tokens").await;
    let words = portal.words().await;
    assert!(words.contains("Reports") && !words.contains(&token), "{words}");
}

async fn turns_on_the_second_factor(portal: &Portal) -> Phone {
    portal.open("/settings/security/second-factor").await;
    portal.press("Set it up").await;
    portal.sees(".key").await;
    let phone = Phone::of(&portal.find(".key").await.text().await.unwrap());
    portal.fill("code", &phone.code(0)).await;
    portal.press("Turn it on").await;
    portal.sees(".codes").await;
    assert_eq!(portal.count(".codes code").await, 10);
    portal.follow("I have kept them").await;
    portal.arrives("/settings/security").await;
    phone
}

async fn signs_out_everywhere_and_in(portal: &Portal, phone: &Phone) {
    portal.press("Sign out everywhere").await;
    portal.arrives("/sign-in?done=signed-out-everywhere").await;
    portal.open("/settings/security").await;
    portal.arrives("/sign-in?next=%2Fsettings%2Fsecurity").await;
    portal.fill("email", EMAIL).await;
    portal.fill("password", PASSWORD).await;
    portal.press("Sign in").await;
    portal
        .arrives("/sign-in/second-factor?next=%2Fsettings%2Fsecurity")
        .await;
    // The code of a moment ago is used up: that of the next half minute is taken already.
    portal.fill("code", &phone.code(1)).await;
    portal.press("Sign in").await;
    portal.arrives("/settings/security").await;
}
