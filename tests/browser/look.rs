//! What every page must be: without a complaint in the browser's console, no wider than the window, and without a
//! finding of axe at WCAG 2.2 AA; in both colour schemes, from a phone to a wide screen. It is photographed for whoever
//! wants to see it: `target/screens/<page>-<width>-<scheme>.png`.
use std::{fs, path::PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use crate::visitor::Visitor;

const WIDTHS: [u32; 4] = [360, 768, 1280, 1920];
/// Of these there are pictures, and axe looks at the first two: the narrow layout and the wide one.
const PHOTOGRAPHED: [u32; 3] = [360, 1280, 1920];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// A photograph ends here: the documentation is longer than anybody scrolls.
const MAX_HEIGHT: u64 = 6_000;

impl Visitor {
    /// Opens a page and judges it.
    pub async fn look(&self, page: &str, path: &str) {
        self.browser.console().await;
        self.open(path).await;
        self.look_here(page).await;
    }

    /// Judges the page that is shown, for example with a form that came back.
    pub async fn look_here(&self, page: &str) {
        let mut wrong = Vec::new();
        for (level, message) in self.browser.console().await {
            // That the page itself is a 404 or a 422 is told there as well.
            let is_status = message.contains("Failed to load resource: the server responded with a status of 4")
                && message.starts_with(self.browser.client.current_url().await.unwrap().as_str());
            if level == "SEVERE" && !is_status {
                wrong.push(format!("the browser says: {message}"));
            }
        }
        self.browser.client.execute(&axe(), Vec::new()).await.unwrap();
        for scheme in SCHEMES {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            self.browser
                .tell("Emulation.setEmulatedMedia", json!({ "features": features }))
                .await;
            for width in WIDTHS {
                self.set_width(width).await;
                wrong.extend(self.overflow().await.map(|what| format!("{width} px: {what}")));
                wrong.extend(self.unseen().await.map(|what| format!("{width} px, {scheme}: {what}")));
                if PHOTOGRAPHED.contains(&width) {
                    self.photograph(&format!("{page}-{width}-{scheme}")).await;
                }
                if PHOTOGRAPHED[..2].contains(&width) {
                    let found = self.axe().await;
                    wrong.extend(found.into_iter().map(|what| format!("{width} px, {scheme}: {what}")));
                }
            }
        }
        self.set_width(1280).await;
        // Whatever axe itself has written.
        self.browser.console().await;
        assert!(wrong.is_empty(), "{page}:\n{}", wrong.join("\n"));
    }

    async fn set_width(&self, width: u32) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.browser.tell("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What makes the page wider than the window.
    async fn overflow(&self) -> Option<String> {
        let script = r"
            const page = document.documentElement;
            // What scrolls by itself may be as wide as it likes; what is for screen readers only is nowhere.
            const scrolls = (element, to) => {
              for (let up = element; up && up !== to; up = up.parentElement)
                if (getComputedStyle(up).overflowX !== 'visible') return true;
              return false;
            };
            const beyond = (inside, right) => [...inside.querySelectorAll('*')].filter(
              (element) => element.getBoundingClientRect().right > right + 1 && !scrolls(element, inside));
            const wide = beyond(document.body, page.clientWidth);
            for (const card of document.querySelectorAll('.card'))
              wide.push(...beyond(card, card.getBoundingClientRect().right));
            if (page.scrollWidth <= page.clientWidth && wide.length === 0) return null;
            const shown = wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 120));
            return `wider than its place (the page is ${page.scrollWidth} px wide): ${shown.join(' … ')}`;";
        let told = self.browser.client.execute(script, Vec::new()).await.unwrap();
        told.as_str().map(str::to_owned)
    }

    /// Words in the colour of what is behind them: axe takes them for hidden on purpose.
    async fn unseen(&self) -> Option<String> {
        let script = r"
            const unseen = [...document.querySelectorAll('body *')].filter((element) => {
              const style = getComputedStyle(element);
              const speaks = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
              return speaks && element.offsetParent !== null && style.color === style.backgroundColor;
            });
            return unseen.length === 0 ? null : `nobody can read ${unseen[0].outerHTML.slice(0, 120)}`;";
        let told = self.browser.client.execute(script, Vec::new()).await.unwrap();
        told.as_str().map(str::to_owned)
    }

    async fn axe(&self) -> Vec<String> {
        let script = r"
            const done = arguments[arguments.length - 1];
            const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
            axe.run(document, { runOnly: tags, resultTypes: ['violations'] }).then(
              (found) => done({
                passes: found.passes.length,
                violations: found.violations.map((rule) => `${rule.id} (${rule.help}): `
                  + rule.nodes.map((node) => `${node.html} [${node.failureSummary}]`).join(' … ')),
              }),
              (error) => done({ passes: 0, violations: [String(error)] }));";
        let found = self.browser.client.execute_async(script, Vec::new()).await.unwrap();
        let violations = found["violations"].as_array().expect("a list").iter();
        let mut wrong: Vec<_> = violations
            .map(|violation| violation.as_str().unwrap_or_default().to_owned())
            .collect();
        if found["passes"].as_u64().unwrap_or_default() < 5 {
            wrong.push(format!("axe has hardly looked: {found}"));
        }
        wrong
    }

    async fn photograph(&self, name: &str) {
        let script = "return [document.documentElement.clientWidth, document.documentElement.scrollHeight]";
        let size = self.browser.client.execute(script, Vec::new()).await.unwrap();
        let height = size[1].as_u64().unwrap_or(900).min(MAX_HEIGHT);
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": height, "scale": 1 });
        let picture = self
            .browser
            .tell(
                "Page.captureScreenshot",
                json!({ "captureBeyondViewport": true, "clip": clip }),
            )
            .await;
        let picture = picture["data"]
            .as_str()
            .map(|text| BASE64_STANDARD.decode(text).unwrap());
        let directory = target().join("screens");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{name}.png")), picture.unwrap()).unwrap();
    }
}

/// Injected by the driver, whom the page's policy does not bind.
fn axe() -> String {
    let file = target().join("axe/node_modules/axe-core/axe.min.js");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}: script/test puts it there", file.display()))
}

fn target() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("target")
}

/// What axe says of a page that is bad is heard: a judge that finds nothing anywhere is none.
#[sqlx::test]
async fn a_page_that_is_bad_is_found_out(pool: sqlx::PgPool) {
    let portal = crate::portal::Portal::start(pool, crate::chromium::Scripts::Run).await;
    portal.open("/sign-in").await;
    portal.set_width(360).await;
    assert_eq!(portal.overflow().await, None);
    portal.browser.client.execute(&axe(), Vec::new()).await.unwrap();
    assert_eq!(portal.axe().await, Vec::<String>::new());
    let spoil = "document.querySelector('label').remove();
        const wide = document.createElement('p');
        wide.textContent = 'x'.repeat(500);
        document.querySelector('main').append(wide);
        const script = document.createElement('script');
        script.textContent = 'alert(1)';
        document.body.append(script);";
    let spoiled: Value = portal.browser.client.execute(spoil, Vec::new()).await.unwrap();
    assert!(spoiled.is_null());
    assert!(portal.overflow().await.unwrap().contains("px wide"));
    let found = portal.axe().await;
    assert!(found.iter().any(|rule| rule.starts_with("label ")), "{found:?}");
    let said = portal.browser.console().await;
    let is_policy =
        |(level, message): &(String, String)| level == "SEVERE" && message.contains("Content Security Policy");
    assert!(said.iter().any(is_policy), "{said:?}");
    portal.stop().await;
}
