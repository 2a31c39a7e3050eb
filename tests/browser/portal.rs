//! A trial's portal, with somebody before a browser.
use std::{net::IpAddr, ops::Deref};

use signpost::{
    accounts::{Operator, email::Email, operators},
    demo,
    domains::RegistrationRules,
    passwords::Passwords,
    server::{self, Addresses, Purpose},
};
use sqlx::PgPool;

use crate::{
    app::{TestApp, settings},
    chromium::Scripts,
    people::{PASSWORD, link},
    visitor::Visitor,
};

/// Of whoever signs up.
pub const EMAIL: &str = "ada@msp.example";

/// A server, and a browser that looks at it.
pub struct Portal {
    pub app: TestApp,
    visitor: Visitor,
}

impl Deref for Portal {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}

impl Portal {
    pub async fn start(pool: PgPool, scripts: Scripts) -> Self {
        Self::start_with(pool, scripts, &[]).await
    }

    /// With these settings more.
    pub async fn start_with(pool: PgPool, scripts: Scripts, more: &[(&str, &str)]) -> Self {
        let state_dir = std::env::temp_dir().join(format!("signpost-browser-{}", uuid::Uuid::now_v7()));
        let own = [
            ("SIGNPOST_PORTAL_HOST", "localhost"),
            // For a provider that somebody signs in at.
            ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ];
        let settings = settings(&pool, &state_dir, &[&own, more].concat());
        // As a trial: the mails are shown.
        let running = server::start_for(&settings, Purpose::Demo).await.unwrap();
        let Addresses { http, https, ops } = running.addresses;
        let app = TestApp {
            pool,
            running,
            state_dir,
            http,
            https,
            ops,
        };
        Self {
            app,
            visitor: Visitor::at(&format!("http://localhost:{}", http.port()), scripts).await,
        }
    }

    /// Makes the example data. Returns the password of the person who can see it.
    pub async fn fill_demo(&self) -> String {
        let (pool, keyring) = (&self.app.pool, self.app.running.keyring());
        let own = RegistrationRules {
            portal: "localhost".to_owned(),
            edge: "edge.signpost.test".to_owned(),
            unverified_domains: 25,
        };
        let addresses = [IpAddr::from([127, 0, 0, 1])];
        demo::fill(pool, &keyring, &own, &addresses).await.unwrap();
        demo::let_in(pool, &keyring, &Passwords::default()).await.unwrap()
    }

    pub async fn stop(self) {
        self.visitor.browser.close().await;
        self.app.stop().await;
    }

    /// The path of the link in the newest mail to an address.
    pub async fn mailed(&self, email: &str) -> String {
        link(&self.app.mails(email).await[0])
    }

    /// By the forms of the pages, until the first page of a new organisation.
    pub async fn sign_up(&self) {
        self.open("/sign-up").await;
        for (name, text) in [
            ("organisation", "Acme IT"),
            ("name", "Ada Lovelace"),
            ("email", EMAIL),
            ("password", PASSWORD),
        ] {
            self.fill(name, text).await;
        }
        self.press("Sign up").await;
        self.arrives("/sign-up/sent").await;
        self.open(&self.mailed(EMAIL).await).await;
        self.arrives("/welcome").await;
    }

    /// Of whoever has signed up.
    pub async fn make_operator(&self) {
        let (mut tx, now) = signpost::clock::begin(&self.app.pool).await.unwrap();
        let keyring = self.app.running.keyring();
        let (operator, email) = (Operator::at_the_command_line(), Email::parse(EMAIL).unwrap());
        let since = Some(now);
        let made = operators::set(&mut tx, operator, &keyring, &email, since).await;
        made.map_err(|error| error.to_string()).unwrap();
        tx.commit().await.unwrap();
    }
}
