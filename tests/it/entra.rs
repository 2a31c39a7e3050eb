//! Tenants looked up at a server that answers as Microsoft Entra does, and as it should not.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::app::{Msp, TENANT, TestApp, eventually};

/// Ends with the value.
pub struct Entra {
    address: SocketAddr,
    asked: Arc<Asked>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Asked {
    all: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Entra {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Asked>::default();
        let mut tasks = JoinSet::new();
        let counted = asked.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, counted.clone()));
            }
        });
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    pub async fn app(&self, pool: PgPool) -> TestApp {
        let at = self.address;
        let urls = format!("china=http://{at}/china,global=http://{at}/global,us_government=http://{at}/us");
        let settings = [
            ("SIGNPOST_ENTRA_URLS", urls.as_str()),
            ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ];
        TestApp::start_with(pool, &settings).await
    }

    fn asked(&self) -> usize {
        self.asked.all.load(SeqCst)
    }
}

async fn serve(stream: TcpStream, asked: Arc<Asked>) {
    asked.all.fetch_add(1, SeqCst);
    let now = asked.at_once.fetch_add(1, SeqCst) + 1;
    asked.most_at_once.fetch_max(now, SeqCst);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let path = line.split(' ').nth(1).unwrap();
    let mut segments = path.split('/').skip(1);
    let (cloud, domain) = (segments.next().unwrap(), segments.next().unwrap());
    assert!(path.ends_with("/v2.0/.well-known/openid-configuration"), "{path}");
    match domain {
        "huge.example" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok();
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        }
        _ => match answer(cloud, domain) {
            Some((status, body)) => {
                // Entra takes its time, too: what is asked at once is seen at once.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let length = body.len();
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.ok();
            }
            // Says nothing, until nobody waits any more.
            None => {
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        },
    }
    asked.at_once.fetch_sub(1, SeqCst);
}

/// What a cloud says of a domain; nothing if it hangs.
fn answer(cloud: &str, domain: &str) -> Option<(u16, String)> {
    let known = |changed: Value| {
        let mut document = json!({
            "issuer": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            "token_endpoint": format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"),
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        });
        for (name, value) in changed.as_object().unwrap() {
            document[name] = value.clone();
        }
        Some((200, document.to_string()))
    };
    let unknown = || {
        let text =
            format!("AADSTS90002: Tenant '{domain}' not found. Check to make sure you have the correct tenant ID.");
        let body = json!({"error": "invalid_tenant", "error_description": text, "error_codes": [90002]});
        Some((400, body.to_string()))
    };
    match (cloud, domain) {
        (_, "garbage.example") => Some((200, "<html>".into())),
        (_, "broken.example") => Some((500, String::new())),
        (_, "slow.example") | ("global", "half.example") => None,
        ("china", "china.example") => known(json!({
            "tenant_region_scope": "AS",
            "cloud_instance_name": "partner.microsoftonline.cn",
        })),
        ("us", "us.example") => {
            known(json!({"tenant_region_scope": "USGov", "cloud_instance_name": "microsoftonline.us"}))
        }
        ("global", "gcc.example") => known(json!({"tenant_region_scope": "NA", "tenant_region_sub_scope": "GCC"})),
        ("global", "dodcon.example") => {
            known(json!({"tenant_region_scope": "USGov", "tenant_region_sub_scope": "DODCON"}))
        }
        ("global", "wrong.example") => {
            known(json!({"issuer": "https://login.microsoftonline.com/66666666-7777-8888-9999-000000000000/v2.0"}))
        }
        // Slow elsewhere: who is known is not waited for.
        (_, "contoso.com") if cloud != "global" => None,
        ("global", "contoso.com") => known(json!({})),
        ("global", many) if many.ends_with(".many.example") => known(json!({})),
        _ => unknown(),
    }
}

async fn look_up(msp: &Msp, domain: &str) -> crate::app::Answer {
    msp.get(&format!("/vendors/intune/lookup?domain={domain}")).await
}

#[sqlx::test]
async fn a_domain_leads_to_its_tenant_and_the_cloud_that_it_runs_in(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    for (domain, cloud, region) in [
        ("contoso.com", "global", "EU"),
        ("CONTOSO.com.", "global", "EU"),
        ("gcc.example", "global", "NA"),
        ("dodcon.example", "us_government", "USGov"),
        ("us.example", "us_government", "USGov"),
        ("china.example", "china", "AS"),
    ] {
        let answer = look_up(&msp, domain).await;
        assert_eq!(answer.status, 200, "{domain}: {}", answer.text);
        assert_eq!(
            answer.json(),
            json!({"tenant_id": TENANT, "cloud": cloud, "region": region}),
            "{domain}"
        );
    }
    let nobodys = look_up(&msp, "nobody.example").await;
    let problem = nobodys.problem(404, "not_found");
    assert!(
        problem["detail"].as_str().unwrap().contains("nobody.example"),
        "{problem}"
    );
    app.stop().await;
}

#[sqlx::test]
async fn what_entra_can_not_tell_is_said_so_in_time(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    let mut details = Vec::new();
    for domain in [
        "garbage.example",
        "broken.example",
        "huge.example",
        "wrong.example",
        "slow.example",
        "half.example",
    ] {
        let started = Instant::now();
        let answer = look_up(&msp, domain).await;
        assert!(started.elapsed() < Duration::from_secs(8), "{domain}");
        let problem = answer.problem(503, "entra_unavailable");
        assert_eq!(answer.header("retry-after"), Some("10"), "{domain}");
        details.push(problem["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    app.stop().await;
}

#[sqlx::test]
async fn a_look_up_takes_a_domain_and_a_token_that_may_read_domains(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    for domain in [
        "",
        "localhost",
        "co.uk",
        "127.0.0.1",
        "ada@contoso.com",
        "a%20b.com",
        "%00",
    ] {
        assert_eq!(look_up(&msp, domain).await.pointers(), ["?domain"], "{domain}");
    }
    for query in ["", "?x=1", "?domain=contoso.com&x=1"] {
        let answer = msp.get(&format!("/vendors/intune/lookup{query}")).await;
        assert!(!answer.pointers().is_empty(), "{query}");
    }
    let token = msp
        .post("/tokens", json!({"name": "Log", "scopes": ["requests:read"]}))
        .await
        .json();
    let log = app.program(msp.organisation_id, token["token"].as_str().unwrap());
    look_up(&log, "contoso.com").await.problem(403, "forbidden");
    assert_eq!(entra.asked(), 0);
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_is_registered_without_its_tenant_id(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    let intune = |parameters: Value| json!({"vendor": "intune", "parameters": parameters});
    for (hostname, parameters, cloud) in [
        ("contoso.com", json!({}), "global"),
        ("dodcon.example", json!({"cloud": "us_government"}), "us_government"),
    ] {
        let domain = msp
            .register_with(json!({"hostname": hostname, "server": intune(parameters)}))
            .await;
        let server_id = domain["policy"]["default"]["server_id"].as_str().unwrap();
        let server = msp.get(&format!("/mdm-servers/{server_id}")).await.json();
        assert_eq!(
            server["parameters"],
            json!({"tenant_id": TENANT, "cloud": cloud}),
            "{hostname}"
        );
    }
    let registered = msp.get("/domains").await.text;
    for (hostname, parameters, pointer, says) in [
        (
            "nobody.example",
            json!({}),
            "/server/parameters/tenant_id",
            "knows no tenant that has verified nobody.example",
        ),
        (
            "broken.example",
            json!({}),
            "/server/parameters/tenant_id",
            "could not be asked",
        ),
        (
            "slow.example",
            json!({}),
            "/server/parameters/tenant_id",
            "could not be asked",
        ),
        (
            "gcc.example",
            json!({"cloud": "china"}),
            "/server/parameters/cloud",
            "runs in `global`",
        ),
        ("gcc.example", json!({"x": 1}), "/server/parameters/x", ""),
        (
            "gcc.example",
            json!({"tenant_id": null}),
            "/server/parameters/tenant_id",
            "",
        ),
        (
            "gcc.example",
            json!({"tenant_id": ""}),
            "/server/parameters/tenant_id",
            "",
        ),
    ] {
        let body = json!({"hostname": hostname, "client_name": "Contoso", "server": intune(parameters)});
        let answer = msp.post("/domains", body).await;
        assert_eq!(answer.pointers(), [pointer], "{hostname}");
        assert!(answer.text.contains(says), "{}", answer.text);
    }
    let body = json!({"hostname": "nobody.example", "server": intune(json!({})), "connection": "x"});
    let mut pointers = msp.post("/domains", body).await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/client_id", "/connection", "/server/parameters/tenant_id"]);
    assert_eq!(msp.get("/domains").await.text, registered);
    app.stop().await;
}

#[sqlx::test]
async fn only_a_domain_that_leaves_its_tenant_out_is_looked_up(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    let defer = json!({"default": {"action": "defer"}});
    let domain = msp
        .register_with(json!({"hostname": "contoso.com", "policy": defer}))
        .await;
    let fleet = json!({"vendor": "fleet", "parameters": {}});
    let body = json!({"hostname": "gcc.example", "client_id": domain["client_id"], "server": fleet});
    assert_eq!(msp.post("/domains", body).await.pointers(), ["/server/parameters/host"]);
    let body = json!({"client_id": domain["client_id"], "vendor": "intune", "parameters": {}});
    assert_eq!(
        msp.post("/mdm-servers", body).await.pointers(),
        ["/parameters/tenant_id"]
    );
    assert_eq!(entra.asked(), 0);
    app.stop().await;
}

#[sqlx::test]
async fn a_domain_sent_to_another_tenant_than_entra_publishes_is_warned_of_and_served(pool: PgPool) {
    const OTHER: &str = "66666666-7777-8888-9999-000000000000";
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    for hostname in ["contoso.com", "nobody.example", "slow.example", "broken.example"] {
        msp.register_intune(hostname, OTHER, "global").await;
    }
    let check = |hostname: &'static str| {
        let msp = &msp;
        async move {
            let domain = msp.post(&format!("/domains/{hostname}/check"), json!({})).await;
            assert_eq!(domain.status, 200, "{}", domain.text);
            domain.json()
        }
    };
    let hostnames = ["contoso.com", "nobody.example", "slow.example", "broken.example"];
    let seen = futures_util::future::join_all(hostnames.map(check)).await;
    let domain = &seen[0];
    let warning = &domain["warnings"][0];
    assert_eq!(warning["code"], "tenant_mismatch", "{domain:#}");
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains(TENANT) && message.contains(OTHER), "{message}");
    app.verify("contoso.com").await;
    assert!(
        app.ask("contoso.com", "").await.text.contains(OTHER),
        "a warning stops nothing"
    );
    for unknown in &seen[1..] {
        assert_eq!(unknown["warnings"], json!([]), "{unknown:#}");
    }
    let server = domain["policy"]["default"]["server_id"].as_str().unwrap();
    let mended = json!({"parameters": {"tenant_id": TENANT, "cloud": "global"}});
    assert_eq!(msp.patch(&format!("/mdm-servers/{server}"), mended).await.status, 200);
    assert_eq!(
        msp.get("/domains/contoso.com").await.json()["warnings"],
        json!([]),
        "at once"
    );
    app.stop().await;
}

#[sqlx::test]
async fn an_import_looks_up_the_rows_that_need_it_a_few_at_a_time(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    let row = |hostname: String, parameters: Value| json!({"hostname": hostname, "client_name": "Contoso", "server": {"vendor": "intune", "parameters": parameters}});
    let mut rows: Vec<_> = (0..40).map(|n| row(format!("d{n}.many.example"), json!({}))).collect();
    rows.push(row("given.example".into(), json!({"tenant_id": TENANT})));
    rows.push(row("nobody.example".into(), json!({})));
    rows.push(row("localhost".into(), json!({})));
    rows.push(json!({"hostname": 1}));
    let result = msp
        .post("/domains/import", json!({"partial": true, "rows": rows}))
        .await
        .json();
    assert_eq!(
        (&result["created"], &result["failed"]),
        (&json!(41), &json!(3)),
        "{result}"
    );
    let pointers: Vec<_> = [41, 42, 43]
        .map(|row| &result["data"][row]["errors"][0]["pointer"])
        .into();
    assert_eq!(pointers, ["/server/parameters/tenant_id", "/hostname", "/hostname"]);
    // The first cloud may know a tenant before the others are asked.
    // Once they are registered, the looks at the domains begin: four at a time.
    assert!((41..=2 * 41 * 3).contains(&entra.asked()), "{}", entra.asked());
    let most = entra.asked.most_at_once.load(SeqCst);
    assert!((8..=(8 + 4) * 3).contains(&most), "{most}");
    assert_eq!(
        msp.get("/mdm-servers").await.json()["data"].as_array().unwrap().len(),
        1
    );
    app.stop().await;
}

#[sqlx::test]
async fn no_transaction_waits_for_entra(pool: PgPool) {
    let entra = Entra::start().await;
    let app = entra.app(pool).await;
    let msp = app.msp("Acme IT").await;
    let body =
        json!({"hostname": "slow.example", "client_name": "Contoso", "server": {"vendor": "intune", "parameters": {}}});
    let waiting = msp.post("/domains", body);
    let meanwhile = async {
        eventually(|| async { entra.asked() == 3 }).await;
        let open = || {
            sqlx::query_scalar::<_, i64>(
                "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
            )
            .fetch_one(&app.pool)
        };
        // Short ones come and go.
        eventually(|| async { open().await.unwrap() == 0 }).await;
        assert_eq!(entra.asked.at_once.load(SeqCst), 3, "Entra is still waited for");
    };
    let (answer, ()) = tokio::join!(waiting, meanwhile);
    assert_eq!(answer.pointers(), ["/server/parameters/tenant_id"]);
    app.stop().await;
}
