//! Passkeys, with an authenticator that is made here from the standard.
use std::collections::BTreeMap;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    app::{Answer, TestApp},
    people::{PASSWORD, Person, csrf_in, leads_to},
};

const EMAIL: &str = "ada@msp.example";
const PAGE: &str = "/settings/security/passkeys";
const HOST: &str = "portal.signpost.test";

/// A device with one passkey (`WebAuthn` level 3, ES256, no attestation).
pub struct Device {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    user: String,
    counter: u32,
    origin: String,
    flags: u8,
}

const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const ATTESTED: u8 = 0x40;

fn sha(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

impl Device {
    pub fn new(app: &TestApp) -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id: uuid::Uuid::now_v7().as_bytes().repeat(2),
            user: String::new(),
            counter: 0,
            origin: format!("http://{HOST}:{}", app.http.port()),
            flags: PRESENT | VERIFIED,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let data =
            json!({"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false});
        data.to_string().into_bytes()
    }

    fn authenticator_data(&mut self, flags: u8) -> Vec<u8> {
        self.counter += 1;
        [&sha(HOST.as_bytes())[..], &[flags], &self.counter.to_be_bytes()].concat()
    }

    /// What `navigator.credentials.create` gives.
    pub fn create(&mut self, options: &Value) -> String {
        let options = options.get("publicKey").unwrap_or(options);
        options["user"]["id"].as_str().unwrap().clone_into(&mut self.user);
        let point = self.key.public_key().as_ref().to_vec();
        let (x, y) = point[1..].split_at(32);
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        let key = [
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..],
            x,
            &[0x22, 0x58, 32],
            y,
        ]
        .concat();
        let data = self.authenticator_data(self.flags | ATTESTED);
        let data = [&data[..], &[0; 16], &length, &self.id, &key].concat();
        let object = [
            &b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"[..],
            &[u8::try_from(data.len()).unwrap()],
            &data,
        ]
        .concat();
        json!({
            "id": BASE64.encode(&self.id), "rawId": BASE64.encode(&self.id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": BASE64.encode(self.client_data("webauthn.create", options)),
                "attestationObject": BASE64.encode(object), "transports": ["internal"],
            },
        })
        .to_string()
    }

    /// What `navigator.credentials.get` gives.
    fn get(&mut self, options: &Value) -> String {
        let options = options.get("publicKey").unwrap_or(options);
        let client_data = self.client_data("webauthn.get", options);
        let data = self.authenticator_data(self.flags);
        let signed = [&data[..], &sha(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": BASE64.encode(&self.id), "rawId": BASE64.encode(&self.id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": BASE64.encode(client_data), "authenticatorData": BASE64.encode(data),
                "signature": BASE64.encode(signature.as_ref()), "userHandle": self.user,
            },
        })
        .to_string()
    }
}

/// The options for a browser on `page`, and the token of its forms.
pub async fn challenge(person: &Person, page: &str, action: &str) -> (Value, String) {
    let csrf = csrf_in(&person.get(page).await.text);
    let asked = person
        .post_raw(&format!("{action}/challenge"), &[("csrf", &csrf), ("name", "Laptop")])
        .await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    assert_eq!(asked.header("content-type"), Some("application/json"));
    (asked.json(), csrf)
}

pub async fn add(person: &Person, name: &str, credential: &str, csrf: &str) -> Answer {
    let fields = [
        ("csrf", csrf),
        ("do", "add"),
        ("name", name),
        ("credential", credential),
    ];
    person.post_raw(PAGE, &fields).await
}

/// Somebody with a passkey.
pub async fn with_passkey(app: &TestApp, person: &Person) -> Device {
    let mut device = Device::new(app);
    let (options, csrf) = challenge(person, PAGE, PAGE).await;
    let added = add(person, "Laptop", &device.create(&options), &csrf).await;
    assert_eq!(leads_to(&added), "/settings/security/passkeys?done=added");
    device
}

pub async fn sign_in(person: &Person, device: &mut Device) -> Answer {
    let (options, csrf) = challenge(person, "/sign-in", "/sign-in/passkey").await;
    send(person, &device.get(&options), &csrf).await
}

async fn send(person: &Person, credential: &str, csrf: &str) -> Answer {
    let fields = [("csrf", csrf), ("next", "/welcome"), ("credential", credential)];
    person.post_raw("/sign-in/passkey", &fields).await
}

#[track_caller]
pub fn refused(answer: &Answer) {
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("This passkey was not accepted"), "{}", answer.text);
}

#[sqlx::test]
async fn a_passkey_is_made_by_name_signs_in_alone_and_opens_nothing_once_removed(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (options, _) = challenge(&owner, PAGE, PAGE).await;
    let options = options.get("publicKey").unwrap_or(&options);
    assert_eq!(options["rp"]["id"], HOST);
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
    let mut device = with_passkey(&app, &owner).await;
    let second = with_passkey(&app, &owner).await;
    let page = owner.get(PAGE).await.text;
    assert_eq!(page.matches("<b>Laptop</b>").count(), 2);
    assert_eq!(app.mails(EMAIL).await[0].subject, "A passkey was added");
    // Where it is registered already, the device makes no second one.
    let (options, csrf) = challenge(&owner, PAGE, PAGE).await;
    let options = options.get("publicKey").unwrap_or(&options);
    assert_eq!(options["excludeCredentials"].as_array().unwrap().len(), 2);
    let mut same = Device {
        id: second.id.clone(),
        ..Device::new(&app)
    };
    let refused = add(&owner, "Again", &same.create(options), &csrf).await;
    assert!(
        refused.status == 422 && refused.text.contains("registered already"),
        "{}",
        refused.text
    );

    let person = app.person();
    assert_eq!(leads_to(&sign_in(&person, &mut device).await), "/welcome");
    assert_eq!(person.get("/welcome").await.status, 200);
    let used: BTreeMap<uuid::Uuid, bool> =
        sqlx::query_as("select passkey_id, used_at is not null from passkeys order by passkey_id")
            .fetch_all(&pool)
            .await
            .unwrap()
            .into_iter()
            .collect();
    assert_eq!(used.values().copied().collect::<Vec<_>>(), [true, false]);

    let first = used.keys().next().unwrap().to_string();
    let stranger = app.owner("Globex", "eve@globex.example").await;
    with_passkey(&app, &stranger).await;
    let fields = [("do", "remove"), ("passkey", first.as_str())];
    assert_eq!(stranger.submit(PAGE, &fields).await.status, 404);
    assert_eq!(
        leads_to(&owner.submit(PAGE, &fields).await),
        "/settings/security/passkeys?done=removed"
    );
    self::refused(&sign_in(&app.person(), &mut device).await);
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_events where subject_kind = 'member' order by audit_event_id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(
        actions
            .iter()
            .filter(|action| *action == "member.passkey_added")
            .count(),
        3
    );
    assert_eq!(actions.last().map(String::as_str), Some("member.passkey_removed"));
    app.stop().await;
}

#[sqlx::test]
async fn a_passkey_needs_no_second_factor_and_the_password_still_does(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let mut device = with_passkey(&app, &owner).await;
    sqlx::query(
        "insert into second_factors (user_id, secret_sealed, created_at, confirmed_at) select user_id, '', now(), now() from users",
    )
    .execute(&pool)
    .await
    .unwrap();
    let by_password = app.person().sign_in(EMAIL, PASSWORD).await;
    assert!(leads_to(&by_password).starts_with("/sign-in/second-factor"));
    assert_eq!(leads_to(&sign_in(&app.person(), &mut device).await), "/welcome");
    app.stop().await;
}

#[sqlx::test]
async fn a_challenge_is_answered_once_in_time_and_by_the_browser_that_got_it(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let mut device = with_passkey(&app, &owner).await;
    let (person, other) = (app.person(), app.person());

    let (options, csrf) = challenge(&person, "/sign-in", "/sign-in/passkey").await;
    let answer = device.get(&options);
    refused(&send(&other, &answer, &other.csrf("/sign-in").await).await);
    assert_eq!(leads_to(&send(&person, &answer, &csrf).await), "/welcome");
    let again = app.person();
    again.set_cookies(other.cookies());
    refused(&send(&again, &answer, &again.csrf("/sign-in").await).await);

    let (options, csrf) = challenge(&other, "/sign-in", "/sign-in/passkey").await;
    device.flags = PRESENT;
    refused(&send(&other, &device.get(&options), &csrf).await);
    device.flags = PRESENT | VERIFIED;
    refused(&send(&other, &device.get(&options), &csrf).await);

    let (options, csrf) = challenge(&other, "/sign-in", "/sign-in/passkey").await;
    sqlx::query("update passkey_challenges set expires_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    refused(&send(&other, &device.get(&options), &csrf).await);

    // A challenge to sign in makes no passkey, and the reverse.
    let (options, csrf) = challenge(&owner, PAGE, PAGE).await;
    refused(&send(&owner, &device.get(&options), &csrf).await);
    let left: i64 = sqlx::query_scalar("select count(*) from passkey_challenges where expires_at > now()")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 1, "of the last, which nobody answered as it was meant");
    app.stop().await;
}

#[sqlx::test]
async fn an_answer_from_another_site_without_its_owner_or_of_a_copied_key_is_refused(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let mut device = with_passkey(&app, &owner).await;
    let eve = app.owner("Globex", "eve@globex.example").await;
    let mut eves = with_passkey(&app, &eve).await;
    let person = app.person();

    let own = device.origin.clone();
    for origin in [
        "https://evil.example",
        "http://portal.signpost.test",
        "https://portal.signpost.test.evil.example",
    ] {
        origin.clone_into(&mut device.origin);
        refused(&sign_in(&person, &mut device).await);
    }
    device.origin = own;
    for flags in [PRESENT, VERIFIED, 0] {
        device.flags = flags;
        refused(&sign_in(&person, &mut device).await);
    }
    device.flags = PRESENT | VERIFIED;
    // Eve's key for Ada's account, and Ada's credential signed with Eve's key.
    let (user, id) = (eves.user.clone(), eves.id.clone());
    eves.user.clone_from(&device.user);
    refused(&sign_in(&person, &mut eves).await);
    eves.id.clone_from(&device.id);
    refused(&sign_in(&person, &mut eves).await);
    (eves.user, eves.id) = (user, id);

    assert_eq!(leads_to(&sign_in(&app.person(), &mut device).await), "/welcome");
    device.counter -= 1;
    refused(&sign_in(&person, &mut device).await);
    for nonsense in [
        "",
        "{}",
        "null",
        "[]",
        "{\"id\":\"<script>\"}",
        "\u{0}",
        &"{".repeat(5_000),
    ] {
        let csrf = person.csrf("/sign-in").await;
        refused(&send(&person, nonsense, &csrf).await);
    }
    assert_eq!(person.get("/welcome").await.status, 303);
    app.stop().await;
}

#[sqlx::test]
async fn making_one_needs_a_recent_sign_in_a_name_a_finger_and_our_own_page(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let mut device = Device::new(&app);
    for (origin, flags) in [("https://evil.example", PRESENT | VERIFIED), ("", PRESENT)] {
        let mut device = Device {
            flags,
            ..Device::new(&app)
        };
        if !origin.is_empty() {
            origin.clone_into(&mut device.origin);
        }
        let (options, csrf) = challenge(&owner, PAGE, PAGE).await;
        refused(&add(&owner, "Laptop", &device.create(&options), &csrf).await);
    }
    let (options, csrf) = challenge(&owner, PAGE, PAGE).await;
    let made = device.create(&options);
    let nameless = add(&owner, "", &made, &csrf).await;
    assert!(nameless.status == 422 && nameless.text.contains("Name "));
    let without = add(&owner, "Laptop", "", &csrf).await;
    assert!(without.status == 422 && without.text.contains("needs JavaScript"));

    sqlx::query("update sessions set authenticated_at = now() - interval '11 minutes'")
        .execute(&pool)
        .await
        .unwrap();
    let stale = add(&owner, "Laptop", &made, &csrf).await;
    assert!(
        stale.status == 422 && stale.text.contains("present_password"),
        "{}",
        stale.text
    );
    let fields = [
        ("csrf", csrf.as_str()),
        ("name", "Laptop"),
        ("present_password", "wrong"),
    ];
    assert_eq!(owner.post_raw(&format!("{PAGE}/challenge"), &fields).await.status, 422);
    let fields = [
        ("csrf", csrf.as_str()),
        ("name", "Laptop"),
        ("present_password", PASSWORD),
    ];
    let asked = owner.post_raw(&format!("{PAGE}/challenge"), &fields).await;
    assert_eq!(asked.status, 200);
    let added = add(&owner, "Laptop <b>'🪿", &device.create(&asked.json()), &csrf).await;
    assert_eq!(leads_to(&added), "/settings/security/passkeys?done=added");
    let page = owner.get(PAGE).await.text;
    assert!(page.contains("Laptop &#60;b&#62;") && page.contains("🪿"), "{page}");
    app.stop().await;
}
