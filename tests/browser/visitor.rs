//! Somebody who sits before a browser, and what they do with their hands.
use std::time::Duration;

use fantoccini::{Locator, key::Key};

use crate::chromium::{Chromium, Scripts};

/// A browser at one portal.
pub struct Visitor {
    pub browser: Chromium,
    pub base: String,
    scripts: Scripts,
}

impl Visitor {
    pub async fn at(base: &str, scripts: Scripts) -> Self {
        Self {
            browser: Chromium::start(scripts).await,
            base: base.to_owned(),
            scripts,
        }
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

    /// Chooses in the list of this name.
    pub async fn choose(&self, name: &str, value: &str) {
        let option = self.find(&format!("select[name={name}] option[value='{value}']")).await;
        option.click().await.unwrap();
    }

    /// Ticks one of the boxes of this name.
    pub async fn tick(&self, name: &str, value: &str) {
        let field = self.find(&format!("input[name={name}][value='{value}']")).await;
        if !field.is_selected().await.unwrap() {
            field.click().await.unwrap();
        }
    }

    /// Presses the button with these words.
    pub async fn press(&self, words: &str) {
        self.click("button", words).await;
    }

    /// Presses a button in whose place a script works, and waits for the same page drawn anew.
    pub async fn press_without_scripts(&self, words: &str) {
        if self.scripts == Scripts::Run {
            return;
        }
        let old = self.find("html").await;
        self.press(words).await;
        for _ in 0..500 {
            if old.tag_name().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("`{words}` leads to no page");
    }

    /// What whoever has turned scripts off does to see news.
    pub async fn load_again_without_scripts(&self) {
        if self.scripts == Scripts::Blocked {
            self.browser.client.refresh().await.unwrap();
        }
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

    /// Waits until the page says this.
    pub async fn shows(&self, words: &str) {
        for _ in 0..500 {
            if self.words().await.contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("`{words}` was expected: {}", self.words().await);
    }

    pub async fn all(&self, selector: &str) -> Vec<fantoccini::elements::Element> {
        self.browser.client.find_all(Locator::Css(selector)).await.unwrap()
    }

    pub async fn count(&self, selector: &str) -> usize {
        self.all(selector).await.len()
    }

    pub async fn find(&self, selector: &str) -> fantoccini::elements::Element {
        let found = self.browser.client.find(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("no {selector}: {error}"))
    }

    /// The words of the page.
    pub async fn words(&self) -> String {
        for _ in 0..50 {
            // The page may be on its way to the next.
            if let Ok(main) = self.browser.client.find(Locator::Css("main")).await
                && let Ok(words) = main.text().await
            {
                return words;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the page has no words");
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

    pub async fn sign_out(&self) {
        self.press("Sign out").await;
        self.arrives("/sign-in?done=signed-out").await;
    }
}
