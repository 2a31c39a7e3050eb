//! A trial's portal, and somebody who sits before a browser.
use std::{net::IpAddr, time::Duration};

use fantoccini::{Locator, key::Key};
use signpost::{
    accounts::{Operator, email::Email, operators},
    demo,
    domains::OwnHosts,
    passwords::Passwords,
    server::{self, Addresses, Purpose},
};
use sqlx::PgPool;

use crate::{
    app::{TestApp, settings},
    chromium::{Chromium, Scripts},
    people::{PASSWORD, link},
};

/// Of whoever signs up.
pub const EMAIL: &str = "ada@msp.example";

/// A server, and a browser that looks at it.
pub struct Portal {
    pub app: TestApp,
    pub browser: Chromium,
    base: String,
}

impl Portal {
    pub async fn start(pool: PgPool, scripts: Scripts) -> Self {
        let state_dir = std::env::temp_dir().join(format!("signpost-browser-{}", uuid::Uuid::now_v7()));
        let own = [
            ("SIGNPOST_PORTAL_HOST", "localhost"),
            // For a provider that somebody signs in at.
            ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ];
        let settings = settings(&pool, &state_dir, &own);
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
            browser: Chromium::start(scripts).await,
            base: format!("http://localhost:{}", http.port()),
        }
    }

    /// Makes the example data. Returns the password of the person who can see it.
    pub async fn fill_demo(&self) -> String {
        let (pool, keyring) = (&self.app.pool, self.app.running.keyring());
        let own = OwnHosts {
            portal: "localhost".to_owned(),
            edge: "edge.signpost.test".to_owned(),
        };
        let addresses = [IpAddr::from([127, 0, 0, 1])];
        demo::fill(pool, &keyring, &own, &addresses).await.unwrap();
        demo::let_in(pool, &keyring, &Passwords::default()).await.unwrap()
    }

    pub async fn stop(self) {
        self.browser.close().await;
        self.app.stop().await;
    }

    pub async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.browser.client.goto(&url).await.unwrap();
    }

    /// The path and the query of the page that is shown.
    pub async fn place(&self) -> String {
        let url = self.browser.client.current_url().await.unwrap();
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    /// Waits for the page that a press leads to.
    #[track_caller]
    pub fn arrives(&self, path: &'static str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            for _ in 0..500 {
                if self.place().await == path {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("{caller}: {path} was expected, and {} is shown", self.place().await);
        }
    }

    /// Types into the field of this name.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("[name={name}]")).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses the button with these words.
    pub async fn press(&self, words: &str) {
        self.click("button", words).await;
    }

    /// Follows the link with these words, in the page itself.
    pub async fn follow(&self, words: &str) {
        self.click("a", words).await;
    }

    async fn click(&self, element: &str, words: &str) {
        let path = format!("(//main|//header/form)//{element}[normalize-space(.)='{words}']");
        let found = self.browser.client.find(Locator::XPath(&path)).await;
        let found = found.unwrap_or_else(|error| panic!("no {element} says `{words}`: {error}"));
        found.click().await.unwrap();
    }

    /// Waits until something is shown, for example on a page that came back.
    pub async fn sees(&self, selector: &str) {
        let wait = self.browser.client.wait().at_most(Duration::from_secs(10));
        let seen = wait.for_element(Locator::Css(selector)).await;
        if let Err(error) = seen {
            panic!("{selector} was expected ({error}): {}", self.words().await);
        }
    }

    pub async fn find(&self, selector: &str) -> fantoccini::elements::Element {
        let found = self.browser.client.find(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("no {selector}: {error}"))
    }

    /// The words of the page.
    pub async fn words(&self) -> String {
        self.find("main").await.text().await.unwrap()
    }

    /// Presses keys wherever the focus is.
    pub async fn keys(&self, keys: &str) {
        let focused = self.browser.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Goes on by the tabulator until the element with this name or these words has the focus.
    pub async fn tab_to(&self, what: &str) {
        for _ in 0..40 {
            self.keys(&char::from(Key::Tab).to_string()).await;
            let focused = self.browser.client.active_element().await.unwrap();
            let name = focused.attr("name").await.unwrap().unwrap_or_default();
            if name == what || focused.text().await.unwrap().trim() == what {
                return;
            }
        }
        panic!("the tabulator does not come to `{what}`");
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
        let (mut tx, keyring) = (self.app.pool.begin().await.unwrap(), self.app.running.keyring());
        let (operator, email) = (Operator::at_the_command_line(), Email::parse(EMAIL).unwrap());
        let since = Some(signpost::clock::now());
        let made = operators::set(&mut tx, operator, &keyring, &email, since).await;
        made.map_err(|error| error.to_string()).unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn sign_out(&self) {
        self.press("Sign out").await;
        self.arrives("/sign-in?done=signed-out").await;
    }
}
