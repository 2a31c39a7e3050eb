//! The probe, against servers on loopback that behave as servers must not; through the API; at the command line. What
//! real web servers do wrong has its own table elsewhere: here stands what only an enemy does.
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use signpost::{
    dns::Dns,
    outbound::Outbound,
    probe::{Limits, Ours, Probe, Report, Request, Trust},
};
use sqlx::PgPool;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    app::{TestApp, intune_document},
    binary::Machine,
};

/// Longer than any of these probes may take, though each of their servers would go on for ever.
const SOON: Duration = Duration::from_secs(20);

/// An authority with one certificate, and what trusts it.
struct Pki {
    ca: String,
    config: Arc<ServerConfig>,
}

impl Pki {
    fn new() -> Self {
        Self::with_subject("Trial CA")
    }

    fn with_subject(subject: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, subject);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["contoso.test".to_owned(), "*.contoso.test".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Self {
            ca: ca.pem(),
            config: config.into(),
        }
    }
}

/// How a server behaves once it is asked.
#[derive(Clone)]
enum Manner {
    Says(String),
    /// The second part again and again.
    Endless(&'static str, &'static str),
    /// One byte at a time, for ever, slowly.
    Drips(&'static str),
    Silent,
}

/// A server on loopback; ends with the value.
struct Site {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Site {
    async fn https(pki: &Pki, manner: Manner) -> Self {
        Self::start("127.0.0.1:0", Some(pki.config.clone()), manner).await
    }

    async fn start(address: &str, tls: Option<Arc<ServerConfig>>, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, manner) = (tls.clone().map(TlsAcceptor::from), manner.clone());
                connections.spawn(async move {
                    match tls {
                        None => answer(stream, &manner).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &manner).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, tasks }
    }

    /// Its port is free afterwards.
    async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Until the other end has had enough.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: &Manner) {
    let mut request = [0; 8192];
    let _ = stream.read(&mut request).await;
    match manner {
        Manner::Says(text) => drop(stream.write_all(text.as_bytes()).await),
        Manner::Endless(first, then) => {
            let _ = stream.write_all(first.as_bytes()).await;
            while stream.write_all(then.as_bytes()).await.is_ok() {}
        }
        Manner::Drips(first) => {
            let _ = stream.write_all(first.as_bytes()).await;
            while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Manner::Silent => std::future::pending().await,
    }
    let _ = stream.shutdown().await;
}

/// Has these A records, and nothing else.
struct Names {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Names {
    async fn start(records: &'static [(&'static str, &'static [&'static str])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let answer = Self::answer(records, &buffer[..length]);
                socket.send_to(&answer, peer).await.unwrap();
            }
        });
        Self { address, _tasks: tasks }
    }

    fn answer(records: &[(&str, &[&str])], asked: &[u8]) -> Vec<u8> {
        let mut message = Message::from_vec(asked).unwrap();
        let query = message.queries[0].clone();
        message.metadata.message_type = MessageType::Response;
        let name = query.name().to_utf8();
        match records.iter().find(|(known, _)| name == format!("{known}.")) {
            None => message.metadata.response_code = ResponseCode::NXDomain,
            Some((_, addresses)) if query.query_type() == RecordType::A => {
                for address in *addresses {
                    let data = RData::A(A(address.parse().unwrap()));
                    message.add_answer(Record::from_rdata(query.name().clone(), 1, data));
                }
            }
            Some(_) => {}
        }
        message.to_vec().unwrap()
    }
}

fn probe(names: &Names, pki: &Pki) -> Probe {
    Probe {
        dns: Dns::new(&[names.address]).unwrap(),
        outbound: Outbound::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]),
        trust: Trust::new([pki.ca.as_bytes()]).unwrap(),
        limits: Limits {
            connect: Duration::from_secs(2),
            tls: Duration::from_secs(2),
            answer: Duration::from_secs(1),
            whole: Duration::from_secs(12),
        },
    }
}

fn contoso(port: u16) -> Request {
    Request {
        hostname: "contoso.test".to_owned(),
        user: Some("ada+tag@contoso.test".to_owned()),
        model_family: None,
        connect: None,
        https_port: port,
        ours: None,
        own_check: None,
        is_brief: false,
    }
}

const HERE: &[(&str, &[&str])] = &[
    ("contoso.test", &["127.0.0.1"]),
    ("www.contoso.test", &["127.0.0.1"]),
    ("manage.microsoft.com", &["203.0.113.1"]),
];

/// What is found at a server of this manner.
async fn found(pki: &Pki, site: &Site) -> Value {
    let names = Names::start(HERE).await;
    let began = Instant::now();
    let mut told = Vec::new();
    let report: Report = probe(&names, pki)
        .run(&contoso(site.address.port()), crate::clock::now(), &mut |step| {
            told.push(step.step)
        })
        .await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(report.steps.iter().map(|step| step.step).collect::<Vec<_>>(), told);
    json!(report)
}

fn codes(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap();
    let told = |step: &Value| {
        format!(
            "{} {}",
            step["step"].as_str().unwrap(),
            step["code"].as_str().unwrap_or("ok")
        )
    };
    steps.iter().map(told).collect()
}

#[track_caller]
fn assert_fault(report: &Value, expected: &str) {
    assert!(
        codes(report).iter().any(|code| code == expected),
        "{expected}: {report:#}"
    );
    assert_eq!(report["ok"], false, "{report:#}");
    for step in report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["ok"] == false)
    {
        for member in ["detail", "expected", "remedy", "devices"] {
            assert!(step[member].is_string(), "{member}: {step:#}");
        }
    }
}

fn ok(body: &str) -> Manner {
    Manner::Says(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}"
    ))
}

#[tokio::test]
async fn a_domain_that_is_well_is_told_so_at_every_step() {
    let pki = Pki::new();
    let site = Site::https(&pki, ok(&intune_document())).await;
    let report = found(&pki, &site).await;
    assert_eq!(
        codes(&report),
        [
            "dns ok",
            "connect ok",
            "tls ok",
            "http ok",
            "content_type ok",
            "document ok",
            "head ok",
            "query ok"
        ],
        "{report:#}"
    );
    assert_eq!((&report["ok"], &report["fallback"]), (&json!(true), &Value::Null));
    let url = report["url"].as_str().unwrap();
    let query = "/.well-known/com.apple.remotemanagement?user-identifier=ada+tag@contoso.test&model-family=iPhone";
    assert!(url.ends_with(query), "{url}");
}

#[tokio::test]
async fn a_server_that_never_ends_costs_a_bounded_time() {
    let pki = Pki::new();
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    for (manner, expected) in [
        (
            Manner::Endless(json, "                                "),
            "document body_too_large",
        ),
        (
            Manner::Endless("HTTP/1.1 200 OK\r\nX: ", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            "http response_unreadable",
        ),
        (
            Manner::Endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
            "http response_unreadable",
        ),
        (
            Manner::Endless("", "HTTP/1.1 100 Continue\r\n\r\n"),
            "http response_too_slow",
        ),
        (Manner::Drips(json), "http response_too_slow"),
        (Manner::Drips("HTTP/1.1 200 OK\r\nX: "), "http response_too_slow"),
        (Manner::Drips(""), "http response_unreadable"),
        (Manner::Silent, "http response_too_slow"),
        (Manner::Says(String::new()), "http connection_closed"),
        (
            Manner::Says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned()),
            "http connection_closed",
        ),
        (
            Manner::Says("\0\0\0 garbage \r\n\r\n".to_owned()),
            "http response_unreadable",
        ),
    ] {
        let site = Site::https(&pki, manner).await;
        assert_fault(&found(&pki, &site).await, expected);
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_named_or_left_undetermined() {
    let pki = Pki::new();
    for (manner, expected) in [
        (
            Manner::Says("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()),
            "tls not_tls",
        ),
        (Manner::Says("SSH-2.0-OpenSSH_9.2\r\n".to_owned()), "tls not_tls"),
        (
            Manner::Endless("\u{16}\u{3}\u{3}", "\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}"),
            "tls undetermined",
        ),
        (Manner::Says(String::new()), "tls undetermined"),
        (Manner::Silent, "tls undetermined"),
        (Manner::Drips(""), "tls not_tls"),
    ] {
        let site = Site::start("127.0.0.1:0", None, manner).await;
        assert_fault(&found(&pki, &site).await, expected);
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_a_device_on_the_internet_could_not_go() {
    let pki = Pki::new();
    for (location, expected) in [
        ("https://169.254.169.254/latest/meta-data/", "http redirect_forbidden"),
        ("http://169.254.169.254/latest/meta-data/", "http redirect_forbidden"),
        ("https://[::ffff:169.254.169.254]/", "http redirect_forbidden"),
        ("https://0xa9fea9fe/", "http redirect_forbidden"),
        ("https://[::1]/", "http redirect_forbidden"),
        ("http://www.contoso.test/", "http redirect_to_http"),
        ("file:///etc/passwd", "http redirect_forbidden"),
        ("https://nowhere.contoso.test/", "http no_such_name"),
        ("", "http redirect_loop"),
        ("https://\u{1b}[2J/", "http redirect_without_target"),
    ] {
        let manner = Manner::Says(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"));
        let site = Site::https(&pki, manner).await;
        assert_fault(&found(&pki, &site).await, expected);
    }
    let without = Manner::Says("HTTP/1.1 302 Found\r\n\r\n".to_owned());
    let site = Site::https(&pki, without).await;
    assert_fault(&found(&pki, &site).await, "http redirect_without_target");
}

#[tokio::test]
async fn what_a_server_says_reaches_a_terminal_without_its_controls() {
    let pki = Pki::with_subject("\u{1b}]0;owned\u{7}\u{202e}");
    let evil = "\u{1b}[2J\u{9b}31m\u{202e}";
    let html = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>{evil}</title>");
    let message =
        format!(r#"{{"code":"com.apple.well-known.failed","message":"{evil}"}}"#).replace('\u{1b}', "\\u001b");
    for manner in [
        Manner::Says(html),
        Manner::Says(format!("HTTP/1.1 403 {evil}\r\nServer: {evil}\r\n\r\n")),
        Manner::Says(format!(
            "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{message}"
        )),
        Manner::Says(format!("HTTP/1.1 200 OK\r\nContent-Type: a/{evil}\r\n\r\n")),
        Manner::Says(format!(
            "HTTP/1.1 302 Found\r\nLocation: https://contoso.test/{evil}\r\n\r\n"
        )),
        ok(evil),
    ] {
        let site = Site::https(&pki, manner).await;
        let report = found(&pki, &site).await;
        assert_eq!(report["ok"], false);
        let texts = report["steps"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|step| step.as_object().unwrap().values());
        for text in texts.filter_map(Value::as_str) {
            let is_harmless = |c: char| !c.is_control() && c != '\u{202e}';
            assert!(text.chars().all(is_harmless), "{text:?}");
        }
    }
}

#[tokio::test]
async fn an_address_that_answers_otherwise_than_the_others_is_named() {
    let pki = Pki::new();
    let good = Site::https(&pki, ok(&intune_document())).await;
    let port = good.address.port();
    let names = Names::start(&[
        ("contoso.test", &["127.0.0.3", "127.0.0.1"]),
        ("manage.microsoft.com", &["203.0.113.1"]),
    ])
    .await;
    let look = async || {
        json!(
            probe(&names, &pki)
                .run(&contoso(port), crate::clock::now(), &mut |_| {})
                .await
        )
    };
    let refused = look().await;
    let others = Pki::new();
    let not_found = || Manner::Says("HTTP/1.1 404 Not Found\r\n\r\n".to_owned());
    let redirect = Manner::Says("HTTP/1.1 302 Found\r\nLocation: https://gone.contoso.test/\r\n\r\n".to_owned());
    let at = format!("127.0.0.3:{port}");
    let mut reports = vec![(refused, "was refused")];
    for (pki, manner, said) in [
        (&pki, not_found(), "404 Not Found"),
        (&others, not_found(), "can't be traced"),
        (&pki, redirect, "gone.contoso.test does not exist"),
    ] {
        let site = Site::start(&at, Some(pki.config.clone()), manner).await;
        reports.push((look().await, said));
        site.stop().await;
    }
    for (report, said) in reports {
        assert_fault(&report, "connect some_addresses_fail");
        let detail = report["steps"][1]["detail"].as_str().unwrap();
        assert!(detail.contains("127.0.0.3: ") && detail.contains(said), "{detail}");
        // The address that is well is looked at to the end.
        assert_eq!(
            codes(&report)[2..6],
            ["tls ok", "http ok", "content_type ok", "document ok"]
        );
    }
}

#[tokio::test]
async fn the_guard_holds_for_names_and_not_for_an_address_that_a_person_names() {
    let pki = Pki::new();
    let site = Site::https(&pki, ok(&intune_document())).await;
    let names = Names::start(HERE).await;
    let guarded = Probe {
        outbound: Outbound::new(vec![], vec![]),
        ..probe(&names, &pki)
    };
    let mut request = contoso(443);
    let report = json!(guarded.run(&request, crate::clock::now(), &mut |_| {}).await);
    assert_eq!(codes(&report), ["dns forbidden_address"]);
    request.connect = Some(site.address);
    let report = json!(guarded.run(&request, crate::clock::now(), &mut |_| {}).await);
    assert_eq!(
        (&report["ok"], &report["steps"][0]["step"]),
        (&json!(true), &json!("connect")),
        "{report:#}"
    );
    // What it redirects to is not named by a person.
    let away = Manner::Says(format!(
        "HTTP/1.1 302 Found\r\nLocation: https://{}/\r\n\r\n",
        site.address
    ));
    let redirecting = Site::https(&pki, away).await;
    request.connect = Some(redirecting.address);
    let report = json!(guarded.run(&request, crate::clock::now(), &mut |_| {}).await);
    assert_fault(&report, "http redirect_forbidden");
}

#[tokio::test]
async fn the_whole_ends_when_its_time_is_up() {
    let pki = Pki::new();
    let slow = Manner::Drips("HTTP/1.1 200 OK\r\nX: ");
    let site = Site::https(&pki, slow).await;
    let names = Names::start(HERE).await;
    let mut probe = probe(&names, &pki);
    probe.limits.answer = Duration::from_secs(600);
    probe.limits.whole = Duration::from_secs(2);
    let began = Instant::now();
    let report = json!(
        probe
            .run(&contoso(site.address.port()), crate::clock::now(), &mut |_| {})
            .await
    );
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_fault(&report, "http response_too_slow");
}

#[tokio::test]
async fn a_domain_of_ours_must_point_at_us_and_is_looked_at_all_the_same() {
    let pki = Pki::new();
    let site = Site::https(&pki, ok(&intune_document())).await;
    let names = Names::start(HERE).await;
    let ours = |address: &str| Ours {
        addresses: vec![address.parse().unwrap()],
        edge_host: "edge.signpost.test".to_owned(),
        caa_forbids: None,
    };
    for (address, dns, is_ok) in [
        ("127.0.0.1", "dns ok", true),
        ("127.0.0.9", "dns address_elsewhere", false),
    ] {
        let request = Request {
            ours: Some(ours(address)),
            ..contoso(site.address.port())
        };
        let report = json!(
            probe(&names, &pki)
                .run(&request, crate::clock::now(), &mut |_| {})
                .await
        );
        assert_eq!(
            (codes(&report)[0].as_str(), codes(&report).len()),
            (dns, 8),
            "{report:#}"
        );
        assert_eq!(report["ok"], is_ok);
    }
}

#[sqlx::test]
async fn the_api_probes_a_domain_of_ones_own(pool: PgPool) {
    let names = Names::start(&[("contoso.com", &["127.0.0.77"])]).await;
    let servers = names.address.to_string();
    let settings = [
        ("SIGNPOST_DNS_SERVERS", servers.as_str()),
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ("SIGNPOST_PUBLIC_HTTPS_PORT", "1"),
    ];
    let app = TestApp::start_with(pool, &settings).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    let answer = msp.get("/domains/contoso.com/probe").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let report = answer.json();
    assert_eq!(codes(&report), ["dns address_elsewhere", "connect connection_refused"]);
    assert!(
        report["steps"][0]["expected"].as_str().unwrap().contains("127.0.0.1"),
        "{report:#}"
    );
    assert_eq!(report["hostname"], "contoso.com");
    let stranger = app.msp("Other IT").await;
    stranger
        .get("/domains/contoso.com/probe")
        .await
        .problem(404, "not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_command_line_the_exit_code_says_whether_a_device_would_succeed() {
    let pki = Pki::new();
    let names = Names::start(HERE).await;
    let mut machine = Machine::bare();
    std::fs::write(machine.directory.join("ca.pem"), &pki.ca).unwrap();
    machine.set("SIGNPOST_DNS_SERVERS", &names.address.to_string());
    let ask = |machine: &Machine, site: &Site, more: &[&str]| {
        let address = site.address.to_string();
        let arguments = ["probe", "contoso.test", "--connect", &address, "--cacert", "ca.pem"];
        machine.run(&[&arguments[..], more].concat())
    };
    let good = Site::https(&pki, ok(&intune_document())).await;
    let told = ask(&machine, &good, &[]).succeeded();
    assert!(
        told.contains("✓ TLS") && told.contains("A device gets its enrollment address"),
        "{told}"
    );
    assert!(!told.contains('\u{1b}'), "{told}");
    let told: Value = serde_json::from_str(&ask(&machine, &good, &["--json"]).succeeded()).unwrap();
    assert_eq!(told["ok"], true);
    let missing = Site::https(&pki, Manner::Says("HTTP/1.1 404 Not Found\r\n\r\n".to_owned())).await;
    let ended = ask(&machine, &missing, &[]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(1), ""));
    for words in [
        "✗ HTTP",
        "[not_found]",
        "Remedy:",
        "does not get its enrollment address",
        "iOS and iPadOS 18.2",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    for arguments in [
        &["probe"][..],
        &["probe", "192.0.2.1"],
        &["probe", "contoso.test", "--connect", "localhost"],
        &["probe", "contoso.test", "--cacert", "missing.pem"],
    ] {
        let ended = machine.run(arguments);
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}: {ended:?}"
        );
    }
    assert!(!machine.state_dir().exists());
}
