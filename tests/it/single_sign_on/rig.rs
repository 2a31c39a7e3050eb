//! An organisation with a proved mail domain and a provider of its own, and people who come by it.
use serde_json::{Value, json};
use sqlx::PgPool;

use super::provider::{CLIENT, Provider, SECRET, Sent};
use crate::{
    app::{Answer, Msp, TestApp},
    faults::dns::{Record, TestDns, txt},
    people::{Person, leads_to},
};

pub const DOMAIN: &str = "acme.example";
pub const OWNER: &str = "owner@acme.example";
pub const PAGE: &str = "/settings/single-sign-on";
pub const START: &str = "/sign-in/single-sign-on";

/// The record that lets the provider sign in people of a mail domain.
pub async fn record_of(msp: &Msp, hostname: &str) -> Record {
    let stored = msp.get("/single-sign-on").await.json();
    let domains = stored["mail_domains"].as_array().unwrap();
    let domain = domains.iter().find(|domain| domain["hostname"] == hostname);
    let record = &domain.unwrap()["record"];
    assert_eq!(record["type"], "TXT");
    txt(record["name"].as_str().unwrap(), &[record["value"].as_str().unwrap()])
}

/// Adds the records of these mail domains, and has them looked up.
pub async fn prove(msp: &Msp, dns: &mut TestDns, hostnames: &[&str]) {
    let mut records = Vec::new();
    for hostname in hostnames {
        records.push(record_of(msp, hostname).await);
    }
    dns.change(&records);
    let checked = msp.post("/single-sign-on/check", json!({})).await;
    assert_eq!(checked.status, 200, "{}", checked.text);
    for domain in checked.json()["mail_domains"].as_array().unwrap() {
        let is_meant = hostnames.iter().any(|hostname| domain["hostname"] == *hostname);
        assert_eq!(domain["is_proved"], is_meant, "{domain}");
    }
}

pub struct Rig {
    pub app: TestApp,
    pub dns: TestDns,
    pub owner: Person,
    pub msp: Msp,
    pub provider: Provider,
}

impl Rig {
    /// Nobody joins by it who is not invited.
    pub async fn start(pool: PgPool) -> Self {
        let dns = TestDns::start(&[]);
        let settings = [
            ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
            ("SIGNPOST_DNS_SERVERS", &dns.address()),
        ];
        let app = TestApp::start_with(pool, &settings).await;
        let owner = app.owner("Acme IT", OWNER).await;
        let msp = app.program_of(&owner).await;
        msp.register(DOMAIN).await;
        app.take_word(DOMAIN).await;
        let provider = Provider::start().await;
        let mut rig = Self {
            app,
            dns,
            owner,
            msp,
            provider,
        };
        rig.save("").await;
        prove(&rig.msp, &mut rig.dns, &[DOMAIN]).await;
        rig
    }

    /// Saves it with this role for new people.
    pub async fn save(&self, role: &str) {
        let fields = [
            ("issuer", self.provider.issuer.as_str()),
            ("client_id", CLIENT),
            ("client_secret", SECRET),
            ("mail_domains", DOMAIN),
            ("new_member_role", role),
        ];
        let saved = self.owner.submit(PAGE, &fields).await;
        assert_eq!(leads_to(&saved), "/settings/single-sign-on?done=saved");
    }

    /// Goes as far as to the provider.
    pub async fn send(&self, person: &Person, email: &str) -> Sent {
        sent(&person.submit(START, &[("email", email), ("next", "/welcome")]).await)
    }

    /// All the way: what is said when they come back.
    pub async fn come(&self, person: &Person, more: Value) -> Answer {
        let sent = self.send(person, "ada@acme.example").await;
        let code = self.provider.consent(&sent, more);
        person.get(&back(&sent, &code)).await
    }

    /// `come` with a fresh browser.
    pub async fn arrive(&self, more: Value) -> (Person, Answer) {
        let person = self.app.person();
        let answer = self.come(&person, more).await;
        (person, answer)
    }
}

/// Where the page leads to.
#[track_caller]
pub fn sent(page: &Answer) -> Sent {
    assert_eq!(page.status, 200, "{}", page.text);
    let (_, rest) = page
        .text
        .split_once("http-equiv=\"refresh\" content=\"0; url=")
        .unwrap();
    let url = rest
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
        .replace("&#39;", "'");
    Sent::parse(&url)
}

/// The path that the provider sends somebody to.
pub fn back(sent: &Sent, code: &str) -> String {
    format!("{START}/callback?code={code}&state={}", sent.query["state"])
}

#[track_caller]
pub fn is_refused(answer: &Answer, words: &str) {
    assert_eq!(answer.status, 422, "{words} was expected: {}", answer.text);
    assert!(answer.text.contains(words), "{words} was expected: {}", answer.text);
    assert!(
        answer
            .header("set-cookie")
            .is_none_or(|cookie| !cookie.contains("session"))
    );
}
