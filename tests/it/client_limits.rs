//! What one client network may take of a node, and who counts as the client behind a load balancer.
use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use sqlx::PgPool;
use tokio::net::{TcpSocket, TcpStream};

use crate::{
    app::{TestApp, WELL_KNOWN, eventually},
    binary::Machine,
    tls::{BOTH, handshake_over, roots_of, trusting},
    web_servers::WebServer,
    wire::Wire,
};

/// The usual limit of a login shell.
const OPEN_FILES: u32 = 1_024;
/// What the limit leaves for connections, and one network's share of it.
const CONNECTIONS: usize = 640;
const SHARE: usize = 213;

const HOG: [u8; 4] = [127, 66, 6, 1];
const DEVICE: [u8; 4] = [127, 77, 7, 1];

/// A connection from this address.
async fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(source), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

fn device_request(host: &str) -> String {
    format!("GET {WELL_KNOWN}?user-identifier=ada@{host}&model-family=Mac HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// What a device from this address gets.
async fn ask_from(source: [u8; 4], to: SocketAddr, host: &str) -> Option<u16> {
    let mut wire = Wire::over(connect_from(source, to).await);
    wire.send(device_request(host).as_bytes()).await;
    wire.reply().await.map(|reply| reply.status)
}

async fn status_of_ops(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The value of a metric's line.
async fn metric(address: SocketAddr, line: &str) -> u64 {
    let (_, metrics) = status_of_ops(address, "/metrics").await;
    let value = metrics.lines().find_map(|candidate| candidate.strip_prefix(line));
    value
        .unwrap_or_else(|| panic!("{line} is missing"))
        .trim()
        .parse()
        .unwrap()
}

/// Whether the server has closed its side.
async fn is_closed(stream: &TcpStream) -> bool {
    stream.readable().await.unwrap();
    !matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[sqlx::test]
async fn one_network_cannot_take_every_connection_of_a_node(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.open_files = Some((OPEN_FILES, OPEN_FILES));
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    let msp = serving.program(&created);
    msp.register("contoso.com").await;
    machine.run(&["domain", "verify", "contoso.com"]).succeeded();
    eventually(|| async { ask_from(DEVICE, serving.http, "contoso.com").await == Some(200) }).await;

    // Without TLS, with TLS that is begun, and with requests whose answers are not read.
    let mut held = Vec::new();
    for number in 0..1_100 {
        let to = if number % 2 == 0 { serving.http } else { serving.https };
        let stream = connect_from(HOG, to).await;
        if number % 4 == 0 {
            // One that is over the bound is closed already.
            let _ = stream.try_write(device_request("contoso.com").as_bytes());
        }
        held.push(stream);
    }
    eventually(|| async {
        metric(
            serving.ops,
            r#"signpost_limit_refused_total{by="network",what="connection"}"#,
        )
        .await
            > 0
    })
    .await;
    assert_eq!(ask_from(DEVICE, serving.http, "contoso.com").await, Some(200));
    let stream = connect_from(DEVICE, serving.https).await;
    let roots = roots_of(&machine.state_dir());
    let stream = handshake_over(stream, "contoso.com", trusting(&roots, BOTH))
        .await
        .unwrap();
    let mut wire = Wire::over(stream);
    wire.send(device_request("contoso.com").as_bytes()).await;
    assert_eq!(wire.reply().await.unwrap().status, 200);
    assert_eq!(status_of_ops(serving.ops, "/readyz").await.0, 200);
    assert_eq!(msp.get("/me").await.status, 200);
    let capacity = metric(serving.ops, r#"signpost_limit_capacity{what="connection"}"#).await;
    assert_eq!(usize::try_from(capacity).unwrap(), CONNECTIONS);
    let used = metric(serving.ops, r#"signpost_limit_used{what="connection"}"#).await;
    assert!(usize::try_from(used).unwrap() <= SHARE + 20, "{used}");
    assert!(is_closed(held.last().unwrap()).await);

    // The share comes back with the connections.
    drop(held);
    eventually(|| async { ask_from(HOG, serving.http, "contoso.com").await == Some(200) }).await;
}

#[sqlx::test]
async fn a_trusted_proxy_may_take_more_than_one_networks_share(pool: PgPool) {
    let mut machine = Machine::new(&pool);
    machine.open_files = Some((OPEN_FILES, OPEN_FILES));
    machine.set("SIGNPOST_TRUSTED_PROXIES", "127.66.6.0/24");
    let serving = machine.serve(&[]);
    let mut held = Vec::new();
    for _ in 0..SHARE + 50 {
        held.push(connect_from(HOG, serving.http).await);
    }
    assert_eq!(ask_from(HOG, serving.http, "contoso.com").await, Some(404));
    let refused = metric(
        serving.ops,
        r#"signpost_limit_refused_total{by="network",what="connection"}"#,
    )
    .await;
    assert_eq!(refused, 0);
}

#[sqlx::test]
async fn one_network_cannot_take_every_place_for_portal_requests(pool: PgPool) {
    let app = TestApp::start_with(pool, &[("SIGNPOST_TRUSTED_PROXIES", "127.88.8.0/24")]).await;
    let msp = app.msp("Acme IT").await;
    let slow = "POST /sign-in HTTP/1.1\r\nHost: portal.signpost.test\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n";
    let used = async || metric(app.ops, r#"signpost_limit_used{what="portal_request"}"#).await;
    // By address, and behind a proxy by the sender that it names.
    for (source, header) in [(HOG, ""), ([127, 88, 8, 1], "X-Forwarded-For: 203.0.113.9\r\n")] {
        let before = used().await;
        let refused = r#"signpost_limit_refused_total{by="network",what="portal_request"}"#;
        let refused_before = metric(app.ops, refused).await;
        // All at once: a body that does not come is given up after a while, and its place is free again.
        let mut held: FuturesUnordered<_> = (0..400)
            .map(|_| async {
                let mut wire = Wire::over(connect_from(source, app.http).await);
                wire.send(format!("{slow}{header}\r\n").as_bytes()).await;
                wire.reply().await.unwrap()
            })
            .collect();
        let first = held.next().await.unwrap();
        assert_eq!((first.status, first.header("retry-after")), (429, Some("1")));
        assert!(metric(app.ops, refused).await > refused_before);
        assert!(used().await - before < 400);
        assert_eq!(msp.get("/me").await.status, 200);
        // An answer or the client's end gives the places back.
        drop(held);
        eventually(|| async { used().await == 0 }).await;
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_proxy_header_is_read_from_its_networks_and_from_no_other(pool: PgPool) {
    let app = TestApp::start_with(pool, &[("SIGNPOST_PROXY_PROTOCOL", "127.99.9.0/24")]).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let balancer = [127, 99, 9, 1];
    let v1 = "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n";
    let ask = async |source, header: &str| {
        let mut wire = Wire::over(connect_from(source, app.http).await);
        wire.send(format!("{header}{}", device_request("contoso.com")).as_bytes())
            .await;
        wire.reply().await.map(|reply| reply.status)
    };
    assert_eq!(ask(balancer, v1).await, Some(200));
    assert_eq!(ask(balancer, "PROXY UNKNOWN\r\n").await, Some(200));
    // From these networks a connection without the header is closed unanswered.
    assert_eq!(ask(balancer, "").await, None);
    // From others it is part of the request, and no request begins so.
    assert_eq!(ask(DEVICE, v1).await, Some(400));
    assert_eq!(ask(DEVICE, "").await, Some(200));
    let mut networks: Vec<_> = msp
        .logged(3)
        .await
        .iter()
        .map(|row| row["client_network"].as_str().unwrap().to_owned())
        .collect();
    networks.sort();
    assert_eq!(networks, ["127.77.7.0/24", "127.99.9.0/24", "203.0.113.0/24"]);
    assert_eq!(
        metric(app.ops, r#"signpost_connections_closed_total{reason="proxy_header"}"#).await,
        1
    );
    app.stop().await;
}

/// A load balancer that listens on a port of this machine, with `send-proxy` or `send-proxy-v2` to ours.
fn haproxy(app: &TestApp, version: &str) -> WebServer {
    WebServer::haproxy(&format!(
        "listen https\n bind 127.0.0.1:{{port}}\n server node {} {version} source 127.99.9.1 check inter 200ms\n",
        app.https
    ))
}

#[sqlx::test]
async fn behind_haproxy_the_sender_counts_and_is_logged_with_tls(pool: PgPool) {
    let app = TestApp::start_with(pool, &[("SIGNPOST_PROXY_PROTOCOL", "127.99.9.0/24")]).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let roots = roots_of(&app.state_dir);
    for (version, source) in [("send-proxy", [127, 11, 1, 1]), ("send-proxy-v2", [127, 22, 2, 1])] {
        let proxy = haproxy(&app, version);
        let to = SocketAddr::from(([127, 0, 0, 1], proxy.port));
        eventually(|| async {
            let stream = connect_from(source, to).await;
            handshake_over(stream, "contoso.com", trusting(&roots, BOTH))
                .await
                .is_ok()
        })
        .await;
        let stream = connect_from(source, to).await;
        let stream = handshake_over(stream, "contoso.com", trusting(&roots, BOTH))
            .await
            .unwrap();
        let mut wire = Wire::over(stream);
        wire.send(device_request("contoso.com").as_bytes()).await;
        assert_eq!(wire.reply().await.unwrap().status, 200, "{version}");
    }
    let mut rows: Vec<_> = msp
        .logged(2)
        .await
        .iter()
        .map(|row| (row["client_network"].to_string(), row["tls"].to_string()))
        .collect();
    rows.sort();
    let row = |network: &str| (format!("{network:?}"), "\"TLSv1.3\"".to_owned());
    assert_eq!(rows, [row("127.11.1.0/24"), row("127.22.2.0/24")]);
    app.stop().await;
}

#[sqlx::test]
async fn a_client_that_pipelines_and_never_reads_is_answered_no_further(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let request = "GET /docs HTTP/1.1\r\nHost: portal.signpost.test\r\n\r\n";
    let address = app.http;
    let sent = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let requests = request.repeat(1_000);
        let mut sent = 0;
        while sent < 256 * 1024 * 1024 {
            match stream.write(requests.as_bytes()) {
                Ok(length) => sent += length,
                Err(_) => break,
            }
        }
        // What waits to be read was written before: the server goes on when the client does.
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        sent
    });
    // Buffers of both sides fill, and then the server reads no more.
    assert!(sent.await.unwrap() < 64 * 1024 * 1024);
    app.stop().await;
}

/// The soft limit on open files of a process.
fn open_files(process: &str) -> u32 {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn the_limit_on_open_files_is_raised_for_the_server_and_not_for_its_database() {
    let mut machine = Machine::bare();
    machine.open_files = Some((512, 4_096));
    let serving = machine.serve(&[]);
    assert_eq!(open_files(&serving.id().to_string()), 4_096);
    let postmaster = machine.state_dir().join("postgres/data/postmaster.pid");
    let postmaster = std::fs::read_to_string(postmaster).unwrap();
    assert_eq!(open_files(postmaster.lines().next().unwrap()), 512);
    assert!(serving.terminate().0.success());
}
