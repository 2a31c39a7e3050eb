//! People with a browser: cookies, pages, forms; and the mails they get.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use signpost::{mail::Mail, outbox};

use super::app::{Answer, Msp, TestApp};

pub const PASSWORD: &str = "a hat for every goose";

/// A browser, and whoever sits before it.
pub struct Person {
    base: String,
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
    /// The address that a trusted proxy names.
    address: Option<String>,
}

impl Person {
    pub fn at(http: SocketAddr) -> Self {
        let client = reqwest::Client::builder()
            .resolve("portal.signpost.test", http)
            .redirect(reqwest::redirect::Policy::none());
        Self {
            base: format!("http://portal.signpost.test:{}", http.port()),
            client: client.build().unwrap(),
            cookies: Mutex::default(),
            address: None,
        }
    }

    /// Comes from this address, if the server trusts proxies on loopback.
    pub fn behind(self, address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
            ..self
        }
    }

    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_cookies(&self, cookies: BTreeMap<String, String>) {
        *self.cookies.lock().unwrap_or_else(PoisonError::into_inner) = cookies;
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<_> = self
            .cookies()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = match cookies.is_empty() {
            true => request,
            false => request.header("cookie", cookies.join("; ")),
        };
        let request = match &self.address {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        };
        let answer = Answer::of(request.send().await.unwrap()).await;
        let mut jar = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match attributes.contains("Max-Age=0") {
                true => jar.remove(name),
                false => jar.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// Sends these fields, and nothing that the page would have added.
    pub async fn post_raw(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let request = self
            .request("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", &self.base)
            .body(body.finish());
        self.send(request).await
    }

    /// The token of the forms of a page.
    pub async fn csrf(&self, page: &str) -> String {
        csrf_in(&self.get(page).await.text)
    }

    /// Opens `page` and sends its form to `action` with `fields`.
    pub async fn submit_to(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf(page).await;
        let fields: Vec<_> = [("csrf", csrf.as_str())]
            .into_iter()
            .chain(fields.iter().copied())
            .collect();
        self.post_raw(action, &fields).await
    }

    /// The same for a form that is sent to its own page.
    pub async fn submit(&self, page: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit_to(page, page.split('?').next().unwrap(), fields).await
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.submit("/sign-in", &[("email", email), ("password", password)])
            .await
    }
}

#[track_caller]
pub fn csrf_in(page: &str) -> String {
    let (_, rest) = page
        .split_once("name=\"csrf\" value=\"")
        .unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// The wait after failures is short at first: however slow this machine is, it is not over yet.
pub async fn hold_failures(pool: &sqlx::PgPool) {
    sqlx::query("update failed_attempts set last_at = now() + interval '1 minute'")
        .execute(pool)
        .await
        .unwrap();
}

/// Where an answer leads to.
#[track_caller]
pub fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").unwrap()
}

/// The path of the link in a mail.
#[track_caller]
pub fn link(mail: &Mail) -> String {
    let word = mail
        .text
        .split_whitespace()
        .find(|word| word.starts_with("http") && word.contains("://"))
        .expect("a link");
    let rest = word.split_once("://").unwrap().1;
    rest[rest.find('/').unwrap()..].to_owned()
}

impl TestApp {
    /// A fresh browser.
    pub fn person(&self) -> Person {
        Person::at(self.http)
    }

    /// The mails to an address that are, or were, in the outbox, the newest first.
    pub async fn mails(&self, to: &str) -> Vec<Mail> {
        let mut db = self.pool.acquire().await.unwrap();
        let kept = outbox::store::list_mails(&mut db, 1_000).await.unwrap();
        let keyring = self.running.keyring();
        let mails = kept
            .into_iter()
            .map(|kept| outbox::open(&keyring, kept.outbox_id, &kept.sealed).unwrap());
        mails.filter(|mail| mail.to == to).collect()
    }

    /// Somebody who has signed up, confirmed, and is signed in as owner of a new organisation.
    pub async fn owner(&self, organisation: &str, email: &str) -> Person {
        let person = self.person();
        let fields = [
            ("organisation", organisation),
            ("name", "Ada Lovelace"),
            ("email", email),
            ("password", PASSWORD),
        ];
        assert_eq!(leads_to(&person.submit("/sign-up", &fields).await), "/sign-up/sent");
        let mails = self.mails(email).await;
        let confirmed = person.get(&link(&mails[0])).await;
        assert_eq!(leads_to(&confirmed), "/welcome");
        person
    }

    /// Somebody new whom `owner` has invited, and who has accepted. `client_id` may be empty.
    pub async fn colleague(&self, owner: &Person, email: &str, role: &str, client_id: &str) -> Person {
        let fields = [("email", email), ("role", role), ("client_id", client_id)];
        let invited = owner
            .submit_to("/settings/members", "/settings/invitations", &fields)
            .await;
        assert_eq!(leads_to(&invited), "/settings/members?done=invited");
        let person = self.person();
        let path = link(&self.mails(email).await[0]);
        let name = email.split('@').next().unwrap();
        let joined = person.submit(&path, &[("name", name), ("password", PASSWORD)]).await;
        assert_eq!(leads_to(&joined), "/");
        person
    }

    /// As if the operator had made all tokens: what a person made ends with their role.
    pub async fn hand_tokens_to_the_operator(&self) {
        let tokens = "update api_tokens set created_by = 'operator', created_by_id = null, responsible_user_id = null";
        sqlx::query(tokens).execute(&self.pool).await.unwrap();
    }

    /// A program of the organisation of `owner`, with a token that may everything.
    pub async fn program_of(&self, owner: &Person) -> Msp {
        let fields = [
            ("name", "CI"),
            ("scopes", "domains:write"),
            ("scopes", "requests:read"),
            ("scopes", "organisation:admin"),
            ("client_id", ""),
            ("expires_in_days", ""),
        ];
        let made = owner.submit("/settings/tokens", &fields).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let (_, rest) = made.text.split_once("<code id=\"token\">").unwrap();
        let token = rest.split('<').next().unwrap().to_owned();
        let me = self.program(uuid::Uuid::nil(), &token).get("/me").await.json();
        self.program(me["organisation"]["id"].as_str().unwrap().parse().unwrap(), &token)
    }
}
