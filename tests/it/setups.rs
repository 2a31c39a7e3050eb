//! The set-up of a domain, and its snippets in the real web servers: what is pasted is what the API says.
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Msp, TestApp, WELL_KNOWN, eventually, intune_document},
    process::{TestDir, free_port},
    tls::{BOTH, handshake, roots_of, trusting},
    web_servers::WebServer,
};

/// As a device asks, as another may, and as a person does who looks whether it works.
const QUERIES: [&str; 3] = [
    "?user-identifier=first+tag@contoso.com&model-family=iPhone",
    "?user-identifier=first%2Btag%40contoso.com&model-family=Mac",
    "",
];

/// Signpost with a domain, at an edge host that everybody here can look up.
struct Bench {
    app: TestApp,
    msp: Msp,
    target: String,
}

impl Bench {
    async fn start(pool: PgPool) -> Self {
        let port = free_port().to_string();
        let https = format!("127.0.0.1:{port}");
        let settings = [
            ("SIGNPOST_EDGE_HOST", "localhost"),
            ("SIGNPOST_HTTPS_ADDR", https.as_str()),
            ("SIGNPOST_PUBLIC_HTTPS_PORT", port.as_str()),
        ];
        let app = TestApp::start_with(pool, &settings).await;
        let msp = app.msp("Acme IT").await;
        msp.register("contoso.com").await;
        app.verify("contoso.com").await;
        let roots = roots_of(&app.state_dir);
        eventually(|| async { handshake(app.https, "localhost", trusting(&roots, BOTH)).await.is_ok() }).await;
        let target = format!("https://localhost:{port}/d/contoso.com{WELL_KNOWN}");
        Self { app, msp, target }
    }

    fn ca(&self) -> String {
        self.app.state_dir.join("ca.pem").display().to_string()
    }

    /// What there is to paste for `server`.
    async fn snippet(&self, server: &str, mode: &str) -> String {
        let path = format!("/domains/contoso.com/setup?connection={mode}");
        let setup = self.msp.get(&path).await.json();
        assert_eq!(setup["target"], self.target);
        let snippets = setup["snippets"].as_array().unwrap();
        let snippet = snippets.iter().find(|snippet| snippet["server"] == server).unwrap();
        assert_eq!(snippet["mode"], mode);
        snippet["text"].as_str().unwrap().to_owned()
    }

    /// Sends every query to the web server and looks where it is sent on to.
    async fn assert_redirects(&self, server: &WebServer) {
        for query in QUERIES {
            for method in [Method::GET, Method::HEAD] {
                let answer = ask(server.port, &method, &format!("{WELL_KNOWN}{query}")).await;
                assert_eq!(answer.status, 307, "{method} {query}: {}", server.said());
                let location = format!("{}{query}", self.target);
                assert_eq!(answer.header("location"), Some(location.as_str()), "{method}");
            }
        }
        assert_website(server).await;
    }

    /// Sends every query to the web server, and to us: the same answer, and in the log the same user and device.
    async fn assert_proxies(&self, server: &WebServer) {
        let mut sent = self.msp.get("/requests").await.json()["data"].as_array().unwrap().len();
        for query in QUERIES {
            assert_eq!(self.app.ask("contoso.com", query).await.status, 200);
            for (method, body) in [(Method::GET, intune_document()), (Method::HEAD, String::new())] {
                let answer = ask(server.port, &method, &format!("{WELL_KNOWN}{query}")).await;
                assert_eq!(
                    answer.status,
                    200,
                    "{method} {query}: {} {}",
                    answer.text,
                    server.said()
                );
                assert_eq!(answer.header("content-type"), Some("application/json"), "{method}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method}");
                assert_eq!(answer.text, body, "{method}");
            }
            sent += 3;
            let rows = self.msp.logged(sent).await;
            let asked = |row: &Value| json!([row["hostname"], row["user"], row["model_family"], row["outcome"]]);
            let [head, get, direct] = [0, 1, 2].map(|at| asked(&rows[at]));
            assert_eq!((&head, &get), (&direct, &direct), "{query}");
            assert_eq!(direct[1].is_null(), query.is_empty(), "{direct}");
        }
        assert_website(server).await;
    }
}

/// The rest of the website is as it was: it redirects to www.
async fn assert_website(server: &WebServer) {
    let answer = ask(server.port, &Method::GET, "/prices?a=b").await;
    assert_eq!(
        (answer.status / 100, answer.header("location")),
        (3, Some("https://www.contoso.com/prices?a=b")),
        "{}",
        server.said()
    );
}

async fn ask(port: u16, method: &Method, path: &str) -> Answer {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let request = client
        .build()
        .unwrap()
        .request(method.clone(), format!("http://127.0.0.1:{port}{path}"));
    Answer::of(request.header("host", "contoso.com").send().await.unwrap()).await
}

/// A website that only redirects to www, with the usual rule against files that nobody is to see.
fn nginx(snippet: &str) -> WebServer {
    WebServer::nginx(&format!(
        "server {{ listen 127.0.0.1:{{port}}; server_name contoso.com;\n\
         location ~ /\\. {{ deny all; }}\n\
         location / {{ return 301 https://www.contoso.com$request_uri; }}\n\
         {snippet}\n}}"
    ))
}

/// The same with rewrite rules, below the snippet, and with what a proxy for other things may have set.
fn apache(snippet: &str) -> WebServer {
    let modules = ["rewrite", "proxy", "proxy_http", "socache_shmcb", "ssl"];
    let site = format!(
        "<VirtualHost 127.0.0.1:{{port}}>\nServerName contoso.com\nProxyPreserveHost On\n{snippet}\n\
         RewriteRule ^ https://www.contoso.com%{{REQUEST_URI}} [R=301,L]\nRedirectMatch 403 /\\.\n</VirtualHost>\n"
    );
    WebServer::apache(&modules, &site)
}

/// A directory with the `.htaccess` that `WordPress` writes, below the snippet.
fn wordpress(snippet: &str) -> (TestDir, WebServer) {
    let site = TestDir::new();
    let rules = format!(
        "{snippet}\nRewriteRule ^(prices)$ https://www.contoso.com/$1 [R=301,L]\n\
         # BEGIN WordPress\n<IfModule mod_rewrite.c>\nRewriteEngine On\nRewriteBase /\nRewriteRule ^index\\.php$ - [L]\n\
         RewriteCond %{{REQUEST_FILENAME}} !-f\nRewriteCond %{{REQUEST_FILENAME}} !-d\nRewriteRule . /index.php [L]\n\
         </IfModule>\n# END WordPress\n"
    );
    site.write(".htaccess", rules);
    site.write("index.php", "WordPress");
    let modules = ["rewrite", "proxy", "proxy_http", "socache_shmcb", "ssl"];
    let root = site.path().display();
    let host = format!(
        "<VirtualHost 127.0.0.1:{{port}}>\nServerName contoso.com\nDocumentRoot {root}\nSSLProxyEngine On\n\
         <Directory {root}>\nAllowOverride FileInfo\nRequire all granted\n</Directory>\n</VirtualHost>\n"
    );
    let server = WebServer::apache(&modules, &host);
    (site, server)
}

fn caddy(site: &str) -> WebServer {
    WebServer::caddy(&format!("http://contoso.com:{{port}} {{\n{site}\n}}"))
}

#[sqlx::test]
async fn nginx_redirects_and_proxies_with_its_snippets_and_keeps_the_query(pool: PgPool) {
    let bench = Bench::start(pool).await;
    let redirecting = nginx(&bench.snippet("nginx", "redirect").await);
    bench.assert_redirects(&redirecting).await;
    let proxying = nginx(&bench.snippet("nginx", "proxy").await);
    bench.assert_proxies(&proxying).await;
    bench.app.stop().await;
}

#[sqlx::test]
async fn apache_redirects_and_proxies_with_its_snippets_and_keeps_the_query(pool: PgPool) {
    let bench = Bench::start(pool).await;
    let redirecting = apache(&bench.snippet("apache", "redirect").await);
    bench.assert_redirects(&redirecting).await;
    let proxying = apache(&bench.snippet("apache", "proxy").await);
    bench.assert_proxies(&proxying).await;
    bench.app.stop().await;
}

#[sqlx::test]
async fn wordpress_in_apache_redirects_and_proxies_with_its_snippets_and_keeps_the_query(pool: PgPool) {
    let bench = Bench::start(pool).await;
    let (_site, redirecting) = wordpress(&bench.snippet("wordpress", "redirect").await);
    bench.assert_redirects(&redirecting).await;
    let (_site, proxying) = wordpress(&bench.snippet("wordpress", "proxy").await);
    bench.assert_proxies(&proxying).await;
    bench.app.stop().await;
}

#[sqlx::test]
async fn caddy_redirects_and_proxies_with_its_snippets_and_keeps_the_query(pool: PgPool) {
    let bench = Bench::start(pool).await;
    let snippet = bench.snippet("caddy", "redirect").await;
    let redirecting = caddy(&format!("redir https://www.contoso.com{{uri}}\n{snippet}"));
    bench.assert_redirects(&redirecting).await;
    let snippet = bench.snippet("caddy", "proxy").await;
    let website = "handle {\nredir https://www.contoso.com{uri}\n}";
    let proxying = caddy(&format!("{website}\n{snippet}"));
    bench.assert_proxies(&proxying).await;
    bench.app.stop().await;
}

#[sqlx::test]
async fn a_proxy_passes_nothing_on_from_a_server_that_is_not_the_edge_host(pool: PgPool) {
    let bench = Bench::start(pool).await;
    let stranger = TestDir::new();
    let root = stranger.write(
        "root.pem",
        rcgen::generate_simple_self_signed(["stranger.test".to_owned()])
            .unwrap()
            .cert
            .pem(),
    );
    let trust_the_stranger = |text: String| {
        assert!(text.contains(bench.ca().as_str()), "{text}");
        text.replace(&bench.ca(), root.to_str().unwrap())
    };
    let nginx = nginx(&trust_the_stranger(bench.snippet("nginx", "proxy").await));
    let apache = apache(&trust_the_stranger(bench.snippet("apache", "proxy").await));
    let caddy = caddy(&trust_the_stranger(bench.snippet("caddy", "proxy").await));
    for server in [nginx, apache, caddy] {
        let answer = ask(server.port, &Method::GET, WELL_KNOWN).await;
        assert!(answer.status >= 500, "{} {}", answer.status, answer.text);
    }
    bench.app.stop().await;
}

#[sqlx::test]
async fn the_set_up_is_that_of_the_domain_s_connection_or_of_the_one_asked_for(pool: PgPool) {
    let app = TestApp::start_with(pool, &[("SIGNPOST_EDGE_ADDRESSES", "192.0.2.10,2001:db8::10")]).await;
    let msp = app.msp("Acme IT").await;
    let domain = msp.register("contoso.com").await;
    let proof = &domain["ownership"]["record"];
    let records = |setup: &Value| {
        let records = setup["records"].as_array().unwrap().clone();
        let told = |record: Value| json!([record["type"], record["name"], record["value"]]);
        records.into_iter().map(told).collect::<Vec<_>>()
    };
    let txt = json!(["TXT", proof["name"], proof["value"]]);
    let direct = msp.get("/domains/contoso.com/setup").await.json();
    assert_eq!(
        (&direct["hostname"], &direct["connection"]),
        (&json!("contoso.com"), &json!("direct"))
    );
    assert_eq!(direct["snippets"], json!([]));
    let addresses = [
        json!(["A", "contoso.com", "192.0.2.10"]),
        json!(["AAAA", "contoso.com", "2001:db8::10"]),
    ];
    assert_eq!(
        records(&direct),
        [std::slice::from_ref(&txt), addresses.as_slice()].concat()
    );

    msp.patch("/domains/contoso.com", json!({"connection": "redirect"}))
        .await;
    let redirect = msp
        .get(&format!("/domains/{}/setup", domain["id"].as_str().unwrap()))
        .await
        .json();
    assert_eq!(redirect["connection"], "redirect");
    assert_eq!(
        redirect["target"],
        format!("https://edge.signpost.test/d/contoso.com{WELL_KNOWN}")
    );
    assert_eq!(records(&redirect), [txt]);
    let asked = msp.get("/domains/contoso.com/setup?connection=proxy").await.json();
    assert_eq!(asked["connection"], "proxy");
    for setup in [&redirect, &asked] {
        let snippets = setup["snippets"].as_array().unwrap();
        assert!(snippets.len() >= 8 && snippets.iter().all(|snippet| snippet["mode"] == setup["connection"]));
    }
    let pointers = msp.get("/domains/contoso.com/setup?connection=cable").await.pointers();
    assert_eq!(pointers, ["?connection"]);
    let stranger = app.msp("Fabrikam IT").await;
    stranger
        .get("/domains/contoso.com/setup")
        .await
        .problem(404, "not_found");
    app.stop().await;
}
