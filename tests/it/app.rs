//! The real server on free ports, and the people who use it.
use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};
use signpost::{
    accounts::{Operator, organisations},
    config::{Settings, Sources},
    domains,
    hostname::Hostname,
    server::{self, Running},
};
use sqlx::PgPool;

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const WELL_KNOWN: &str = "/.well-known/com.apple.remotemanagement";

/// A server with a state directory of its own.
pub struct TestApp {
    pub pool: PgPool,
    pub running: Running,
    pub state_dir: PathBuf,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub ops: SocketAddr,
}

/// An organisation's program: its token, and where to send requests.
pub struct Msp {
    pub organisation_id: uuid::Uuid,
    pub token: String,
    base: String,
    client: reqwest::Client,
}

/// Status, headers of interest and body of an answer.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem that this answer is, with everything that a problem has.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{code} was expected: {}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!(code), &json!(status)),
            "{problem}"
        );
        for member in ["type", "title", "detail", "request_id"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{member} is missing: {problem}");
        }
        assert_eq!(self.header("x-request-id"), problem["request_id"].as_str());
        problem
    }

    /// The pointers of what is invalid.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }
}

/// Settings for ports that the system chooses, and a fresh state directory.
pub fn settings(pool: &PgPool, state_dir: &std::path::Path, more: &[(&str, &str)]) -> Settings {
    let state_dir = state_dir.to_str().unwrap();
    let own = [
        ("SIGNPOST_STATE_DIR", state_dir),
        ("SIGNPOST_HTTP_ADDR", "127.0.0.1:0"),
        ("SIGNPOST_HTTPS_ADDR", "127.0.0.1:0"),
        ("SIGNPOST_OPS_ADDR", "127.0.0.1:0"),
        ("SIGNPOST_PORTAL_HOST", "portal.signpost.test"),
        ("SIGNPOST_EDGE_HOST", "edge.signpost.test"),
        // Nobody there: a test that wants an answer brings its own name servers.
        ("SIGNPOST_DNS_SERVERS", "127.0.0.1:1"),
        // A test asks nobody outside: loopback is refused unless the test allows it.
        ("SIGNPOST_ENTRA_URLS", "global=http://127.0.0.1:9"),
    ];
    let pairs = own
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let mut settings = Sources::from(pairs, None).unwrap().settings().unwrap();
    settings.database = Some(vec![(*pool.connect_options()).clone()]);
    settings
}

impl TestApp {
    pub async fn start(pool: PgPool) -> Self {
        Self::start_with(pool, &[]).await
    }

    pub async fn start_with(pool: PgPool, more: &[(&str, &str)]) -> Self {
        let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
        Self::start_in(pool, state_dir, more).await
    }

    pub async fn start_in(pool: PgPool, state_dir: PathBuf, more: &[(&str, &str)]) -> Self {
        let settings = settings(&pool, &state_dir, more);
        Self::start_as(pool, state_dir, &settings).await
    }

    pub async fn start_as(pool: PgPool, state_dir: PathBuf, settings: &Settings) -> Self {
        let running = server::start(settings).await.unwrap();
        let server::Addresses { http, https, ops } = running.addresses;
        Self {
            pool,
            running,
            state_dir,
            http,
            https,
            ops,
        }
    }

    pub async fn stop(self) {
        self.running.stop().await.unwrap();
        std::fs::remove_dir_all(&self.state_dir).unwrap();
    }

    /// Stops the server and leaves its state directory to the next one.
    pub async fn stop_for_a_while(self) -> PathBuf {
        self.running.stop().await.unwrap();
        self.state_dir
    }

    pub async fn msp(&self, name: &str) -> Msp {
        let mut tx = self.pool.begin().await.unwrap();
        let email = format!("{}@msp.example", uuid::Uuid::now_v7());
        let created = organisations::create(
            &mut tx,
            Operator::at_the_command_line(),
            &self.running.keyring(),
            name,
            &email,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        self.program(created.organisation_id, created.token.expose())
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Msp {
        self.program(uuid::Uuid::nil(), "")
    }

    /// Somebody with this token.
    pub fn program(&self, organisation_id: uuid::Uuid, token: &str) -> Msp {
        Msp::at(self.http, organisation_id, token)
    }

    /// Takes the operator's word for a domain, and waits until it is served with its certificate.
    pub async fn verify(&self, hostname: &str) {
        self.take_word(hostname).await;
        eventually(|| async { self.running.serves(hostname) }).await;
    }

    pub async fn take_word(&self, hostname: &str) {
        let mut tx = self.pool.begin().await.unwrap();
        domains::verify(
            &mut tx,
            Operator::at_the_command_line(),
            &Hostname::parse(hostname).unwrap(),
            None,
            crate::clock::database_now(),
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn suspend(&self, msp: &Msp) {
        self.set_suspended(msp, Some(crate::clock::database_now())).await;
    }

    pub async fn resume(&self, msp: &Msp) {
        self.set_suspended(msp, None).await;
    }

    async fn set_suspended(&self, msp: &Msp, at: Option<signpost::clock::DatabaseTime>) {
        let mut tx = self.pool.begin().await.unwrap();
        organisations::set_suspended(&mut tx, Operator::at_the_command_line(), msp.organisation_id, at)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// What a device gets over plain HTTP.
    pub async fn ask(&self, hostname: &str, query: &str) -> Answer {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let url = format!("http://{}{WELL_KNOWN}{query}", self.http);
        Answer::of(
            client
                .get(url)
                .header("host", hostname)
                .header("user-agent", "DeviceManagementClient/1.0")
                .send()
                .await
                .unwrap(),
        )
        .await
    }
}

impl Msp {
    /// Whoever holds `token`, at the server that listens on `http`.
    pub fn at(http: SocketAddr, organisation_id: uuid::Uuid, token: &str) -> Self {
        let client = reqwest::Client::builder().resolve("portal.signpost.test", http);
        let base = format!("http://portal.signpost.test:{}/api/v1", http.port());
        Self {
            organisation_id,
            token: token.to_owned(),
            base,
            client: client.build().unwrap(),
        }
    }

    /// The same organisation's other token, at the same server.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            organisation_id: self.organisation_id,
            token: token.to_owned(),
            base: self.base.clone(),
            client: self.client.clone(),
        }
    }

    /// The same over TLS, whoever signed the portal's certificate.
    pub fn over_tls(https: SocketAddr, organisation_id: uuid::Uuid, token: &str) -> Self {
        let client = reqwest::Client::builder().resolve("portal.signpost.test", https);
        let base = format!("https://portal.signpost.test:{}/api/v1", https.port());
        Self {
            organisation_id,
            token: token.to_owned(),
            base,
            client: client.tls_danger_accept_invalid_certs(true).build().unwrap(),
        }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_with(method, path, body, &[]).await
    }

    pub async fn call_with(&self, method: &str, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Answer {
        let Some(body) = body else {
            return self.send(method, path, "", headers).await;
        };
        let headers: Vec<_> = [JSON].iter().chain(headers).copied().collect();
        self.send(method, path, body.to_string(), &headers).await
    }

    /// The body as it stands, whatever it is.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap(), url).body(body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    /// The rows of the request log, newest first, once there are `count`.
    pub async fn logged(&self, count: usize) -> Vec<Value> {
        let rows = || async {
            self.get("/requests?limit=100").await.json()["data"]
                .as_array()
                .unwrap()
                .clone()
        };
        eventually(|| async { rows().await.len() >= count }).await;
        let rows = rows().await;
        assert_eq!(rows.len(), count, "{rows:#?}");
        rows
    }

    /// Registers a domain that serves Intune.
    pub async fn register(&self, hostname: &str) -> Value {
        self.register_intune(hostname, TENANT, "global").await
    }

    /// The same for another tenant or cloud.
    pub async fn register_intune(&self, hostname: &str, tenant_id: &str, cloud: &str) -> Value {
        let server = json!({"vendor": "intune", "parameters": {"tenant_id": tenant_id, "cloud": cloud}});
        self.register_with(json!({"hostname": hostname, "server": server}))
            .await
    }

    /// Registers a domain of the client Contoso.
    pub async fn register_with(&self, mut body: Value) -> Value {
        body["client_name"] = json!("Contoso");
        let answer = self.post("/domains", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }
}

/// Until so many statements of this test's database wait for a lock.
pub async fn waiting(pool: &PgPool, count: i64) {
    eventually(|| async {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        waiting >= count
    })
    .await;
}

/// Waits until `condition` holds; fails after thirty seconds.
pub async fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    for _ in 0..3_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come true within thirty seconds");
}

/// The document that an Intune domain serves.
pub fn intune_document() -> String {
    intune_document_of(TENANT, "com")
}

/// The same for another tenant, and the top-level domain of another cloud.
pub fn intune_document_of(tenant_id: &str, tld: &str) -> String {
    format!(
        r#"{{"Servers":[{{"Version":"mdm-byod","BaseURL":"https://manage.microsoft.{tld}/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId={tenant_id}"}}]}}"#
    )
}

/// Sends these bytes and no more. The beginning of the answer, which must come within five seconds.
pub async fn raw(address: SocketAddr, request: impl Into<Vec<u8>>) -> String {
    let request = request.into();
    let exchange = move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(&request).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = vec![0; 16 * 1024];
        let length = stream.read(&mut answer).expect("an answer within five seconds");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}
