//! A browser and the program that drives it: two processes, stopped by their ids, with a profile that is gone with them.
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, wd::WebDriverCompatibleCommand};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// What every browser of a test is started with: no window, nothing to its maker's servers, no second protocol.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// Whether pages may run scripts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    Run,
    /// As somebody has it who has turned them off.
    Blocked,
}

/// A browser with a fresh profile.
pub struct Chromium {
    pub client: Client,
    browser: Pid,
    driver: Child,
    profile: PathBuf,
}

impl Chromium {
    pub async fn start(scripts: Scripts) -> Self {
        let (driver, port) = start_driver();
        let profile = std::env::temp_dir().join(format!("signpost-browser-{}", uuid::Uuid::now_v7()));
        let directory = format!("--user-data-dir={}", profile.display());
        let flags: Vec<_> = FLAGS.into_iter().chain([directory.as_str()]).collect();
        let mut options = json!({ "args": flags });
        if scripts == Scripts::Blocked {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let capabilities = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("written above")
        };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let id = client
            .capabilities()
            .and_then(|all| all.get("goog:processID")?.as_i64());
        let id = id.expect("chromedriver says which process it has started");
        Self {
            client,
            browser: Pid::from_raw(i32::try_from(id).unwrap()).unwrap(),
            driver,
            profile,
        }
    }

    /// Asks the browser itself, by its own protocol.
    pub async fn tell(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("goog/cdp/execute", &body).await
    }

    /// What has been written to the console since the last call.
    pub async fn console(&self) -> Vec<(String, String)> {
        let entries = self.command("se/log", &json!({ "type": "browser" })).await;
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let entries = entries.as_array().expect("a list of messages").iter();
        entries
            .map(|entry| (text(entry, "level"), text(entry, "message")))
            .collect()
    }

    async fn command(&self, path: &'static str, body: &Value) -> Value {
        let command = Own {
            path,
            body: body.to_string(),
        };
        self.client.issue_cmd(command).await.unwrap()
    }

    /// In good order. Without it, both processes are killed.
    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // They may have ended by themselves: what matters is that they are gone.
        let _ = kill_process(self.browser, Signal::KILL);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// On a port that the system chooses. One that another program took in between is its end: then it is started anew.
fn start_driver() -> (Child, u16) {
    for _ in 0..5 {
        let (mut driver, port) = try_driver();
        if let Some(port) = port {
            return (driver, port);
        }
        driver.kill().ok();
        driver.wait().unwrap();
    }
    panic!("chromedriver names no port, five times");
}

fn try_driver() -> (Child, Option<u16>) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is on the path: script/test installs it");
    let said = BufReader::new(driver.stdout.take().unwrap());
    let (tell, told) = mpsc::channel();
    // Reads to the end, so that chromedriver never waits for a reader.
    thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            let Some((_, port)) = line.split_once("on port ") else {
                continue;
            };
            if let Ok(port) = port.trim_end_matches('.').parse::<u16>()
                && port != 0
            {
                let _ = tell.send(port);
            }
        }
    });
    let port = told.recv_timeout(Duration::from_secs(20));
    (driver, port.ok())
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: String,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.clone()))
    }
}
