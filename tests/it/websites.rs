//! Domains whose own web server redirects or proxies to us, seen through a real one.
use serde_json::{Value, json};
use signpost::certificates::internal::InternalCa;
use sqlx::PgPool;

use crate::{
    app::{Msp, TestApp, WELL_KNOWN, eventually},
    faults::dns::{TestDns, a},
    process::{TestDir, free_port},
    web_servers::WebServer,
};

const HOST: &str = "contoso.test";
/// The customer's web server, at the port where devices ask.
const THEIRS: &str = "127.0.0.2";

struct Bench {
    app: TestApp,
    msp: Msp,
    port: String,
    dir: TestDir,
    _dns: TestDns,
}

impl Bench {
    async fn start(pool: PgPool, connection: &str) -> Self {
        let dns = TestDns::start(&[
            a(HOST, THEIRS),
            a("localhost", "127.0.0.1"),
            a("mdm.contoso.test", "127.0.0.3"),
        ]);
        let port = free_port().to_string();
        let settings = [
            ("SIGNPOST_EDGE_HOST", "localhost"),
            ("SIGNPOST_HTTPS_ADDR", &format!("127.0.0.1:{port}")),
            ("SIGNPOST_PUBLIC_HTTPS_PORT", &port),
            ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
            ("SIGNPOST_DNS_SERVERS", &dns.address()),
        ];
        let app = TestApp::start_with(pool, &settings).await;
        let msp = app.msp("Acme IT").await;
        let server = json!({"vendor": "intune", "parameters": {"tenant_id": crate::app::TENANT}});
        msp.register_with(json!({"hostname": HOST, "server": server, "connection": connection}))
            .await;
        app.verify(HOST).await;
        let bench = Self {
            app,
            msp,
            port,
            dir: TestDir::new(),
            _dns: dns,
        };
        bench.certify();
        bench
    }

    /// A certificate for the customer's web server, of a CA that the probe trusts.
    fn certify(&self) {
        let keyring = self.app.running.keyring();
        let now = crate::clock::now();
        let ca = InternalCa::open(&self.app.state_dir, &keyring, now).unwrap();
        let issued = ca.issue(HOST, crate::clock::assume(now)).unwrap();
        let pem = |label: &str, der: &[u8]| {
            use base64::prelude::{BASE64_STANDARD, Engine};
            format!(
                "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
                BASE64_STANDARD.encode(der)
            )
        };
        let chain: String = issued.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        self.dir.write("chain.pem", chain);
        self.dir.write("key.pem", pem("PRIVATE KEY", &issued.key));
    }

    fn website(&self, locations: &str) -> WebServer {
        let (dir, port) = (self.dir.path().display(), &self.port);
        WebServer::nginx(&format!(
            "server {{ listen 127.0.0.1:{{port}}; listen {THEIRS}:{port} ssl; server_name {HOST};\n\
             ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/key.pem;\n{locations}\n}}"
        ))
    }

    async fn snippet(&self) -> String {
        let setup = self.msp.get("/domains/contoso.test/setup").await.json();
        let snippets = setup["snippets"].as_array().unwrap();
        let nginx = snippets.iter().find(|snippet| snippet["server"] == "nginx").unwrap();
        nginx["text"].as_str().unwrap().to_owned()
    }

    async fn check(&self) -> Value {
        let answer = self.msp.post("/domains/contoso.test/check", json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    async fn assert_broken(&self, status: &str, cause: &str, words: &[&str]) {
        let domain = self.check().await;
        let action = &domain["next_action"];
        assert_eq!(
            (&domain["status"], &action["code"], &action["cause"], &action["actor"]),
            (&json!(status), &json!("fix_website"), &json!(cause), &json!("client")),
            "{domain:#}"
        );
        for word in words {
            assert!(action["message"].as_str().unwrap().contains(word), "{word}: {action:#}");
        }
    }
}

fn answers(status: u16, kind: &str, body: &str) -> String {
    format!("location = {WELL_KNOWN} {{ default_type {kind}; return {status} '{body}'; }}")
}

#[sqlx::test]
async fn a_redirect_is_active_when_our_own_fetch_ends_at_our_answer(pool: PgPool) {
    let bench = Bench::start(pool, "redirect").await;
    let target = format!("https://localhost:{}/d/{HOST}{WELL_KNOWN}", bench.port);
    bench
        .assert_broken("pending_dns", "connection_refused", &["refused"])
        .await;

    let website = bench.website("location / { return 404; }");
    bench.assert_broken("pending_dns", "not_found", &["404", &target]).await;
    drop(website);
    let own = r#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.contoso.test/enroll"}]}"#;
    let website = bench.website(&answers(200, "application/json", own));
    bench
        .assert_broken("pending_dns", "answered_elsewhere", &["mdm.contoso.test", &target])
        .await;
    drop(website);

    let website = bench.website(&bench.snippet().await);
    let domain = bench.check().await;
    assert_eq!(
        (&domain["status"], &domain["next_action"]),
        (&json!("active"), &Value::Null),
        "{domain:#}"
    );
    assert_eq!(
        (&domain["dns"]["ok"], &domain["dns"]["records"]),
        (&json!(true), &json!([]))
    );
    drop(website);

    let website = bench.website(&format!(
        "location / {{ return 307 https://localhost:{}/d/other.test{WELL_KNOWN}; }}",
        bench.port
    ));
    bench.assert_broken("attention", "not_found", &["404"]).await;
    drop(website);
    let website =
        bench.website("location / { return 403 'Just a moment...'; add_header cf-mitigated challenge always; }");
    bench.assert_broken("attention", "bot_challenge", &["bot"]).await;
    drop(website);
    assert_eq!(bench.app.ask(HOST, "").await.status, 200, "still served");
    bench.msp.logged(1).await;
    bench.app.stop().await;
}

#[sqlx::test]
async fn a_proxy_is_active_when_what_it_answers_is_ours(pool: PgPool) {
    let bench = Bench::start(pool, "proxy").await;
    let website = bench.website(&bench.snippet().await);
    eventually(|| async { bench.check().await["status"] == "active" }).await;
    drop(website);
    let website = bench.website(&answers(200, "text/plain", "hello"));
    bench
        .assert_broken("attention", "wrong_content_type", &["text/plain", "Make it fetch"])
        .await;
    drop(website);
    // A policy that refuses, or leaves it to Apple, is an answer like another.
    let website = bench.website(&bench.snippet().await);
    for action in [
        json!({"action": "reject", "message": "Ask IT."}),
        json!({"action": "defer"}),
    ] {
        let changed = bench
            .msp
            .patch(
                "/domains/contoso.test",
                json!({"policy": {"default": action, "rules": []}}),
            )
            .await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        eventually(|| async { bench.check().await["status"] == "active" }).await;
    }
    drop(website);
    assert_eq!(
        bench.msp.get("/requests").await.json()["data"],
        json!([]),
        "a look is nobody's sign-in"
    );
    bench.app.stop().await;
}

#[sqlx::test]
async fn behind_right_records_the_answer_itself_is_looked_at(pool: PgPool) {
    let dns = TestDns::start(&[a(HOST, "127.0.0.1")]);
    let nobody = free_port().to_string();
    let settings = [
        ("SIGNPOST_PUBLIC_HTTPS_PORT", nobody.as_str()),
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ("SIGNPOST_DNS_SERVERS", &dns.address()),
    ];
    let app = TestApp::start_with(pool, &settings).await;
    let msp = app.msp("Acme IT").await;
    msp.register(HOST).await;
    app.verify(HOST).await;
    let domain = check(&msp).await;
    assert_eq!(
        (&domain["status"], &domain["warnings"][0]["code"]),
        (&json!("active"), &json!("probe_failed"))
    );
    let message = domain["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("refused"), "{message}");
    app.stop().await;
}

#[sqlx::test]
async fn a_look_at_a_domain_that_works_finds_nothing_and_makes_no_row(pool: PgPool) {
    let dns = TestDns::start(&[a(HOST, "127.0.0.1")]);
    let port = free_port().to_string();
    let settings = [
        ("SIGNPOST_HTTPS_ADDR", &*format!("127.0.0.1:{port}")),
        ("SIGNPOST_PUBLIC_HTTPS_PORT", &port),
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ("SIGNPOST_DNS_SERVERS", &dns.address()),
    ];
    let app = TestApp::start_with(pool, &settings).await;
    let msp = app.msp("Acme IT").await;
    msp.register(HOST).await;
    app.verify(HOST).await;
    let domain = check(&msp).await;
    assert_eq!((&domain["status"], &domain["warnings"]), (&json!("active"), &json!([])));
    app.ask(HOST, "?model-family=Mac").await;
    let rows = msp.logged(1).await;
    assert_eq!(rows[0]["model_family"], "Mac");
    app.stop().await;
}

async fn check(msp: &Msp) -> Value {
    let answer = msp.post("/domains/contoso.test/check", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}
