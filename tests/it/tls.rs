//! What a handshake shows, to whom, and that a connection is for the name it was made for.
use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
    },
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls};

use crate::{
    app::{Msp, TestApp, WELL_KNOWN, eventually, intune_document, intune_document_of},
    wire::{Reply, Wire},
};

const OTHER_TENANT: &str = "99999999-8888-7777-6666-555555555555";
pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

async fn two_domains(pool: PgPool) -> (TestApp, RootCertStore, Msp) {
    let app = TestApp::start(pool).await;
    let roots = roots_of(&app.state_dir);
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    msp.register_intune("fabrikam.com", OTHER_TENANT, "global").await;
    app.verify("contoso.com").await;
    app.verify("fabrikam.com").await;
    // Our own hosts get theirs in the background.
    eventually(|| async {
        handshake(app.https, "edge.signpost.test", trusting(&roots, BOTH))
            .await
            .is_ok()
    })
    .await;
    eventually(|| async {
        handshake(app.https, "portal.signpost.test", trusting(&roots, BOTH))
            .await
            .is_ok()
    })
    .await;
    (app, roots, msp)
}

/// The internal CA of a state directory, and nobody else.
pub fn roots_of(state_dir: &Path) -> RootCertStore {
    let pem = fs::read(state_dir.join("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    roots
}

pub fn trusting(roots: &RootCertStore, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    builder
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth()
}

pub async fn handshake(
    address: SocketAddr,
    name: &str,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake_over(TcpStream::connect(address).await?, name, config).await
}

/// The same over a connection that is there.
pub async fn handshake_over(
    tcp: TcpStream,
    name: &str,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config.into()).connect(name, tcp).await
}

/// A request for `host` on a connection for `name`.
pub async fn ask_h1(address: SocketAddr, roots: &RootCertStore, name: &str, host: &str, query: &str) -> Reply {
    let stream = handshake(address, name, trusting(roots, BOTH)).await.unwrap();
    ask_over(stream, host, query).await
}

async fn ask_over(stream: TlsStream<TcpStream>, host: &str, query: &str) -> Reply {
    let mut wire = Wire::over(stream);
    let request = format!("GET {WELL_KNOWN}{query} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    wire.send(request.as_bytes()).await;
    wire.reply().await.unwrap()
}

/// The protocol that is chosen of those that a client offers.
async fn negotiated(address: SocketAddr, roots: &RootCertStore, offered: &[&str]) -> Result<Option<String>, String> {
    let mut config = trusting(roots, BOTH);
    config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = handshake(address, "contoso.com", config)
        .await
        .map_err(|error| error.to_string())?;
    let chosen = stream.get_ref().1.alpn_protocol();
    Ok(chosen.map(|protocol| String::from_utf8_lossy(protocol).into_owned()))
}

#[sqlx::test]
async fn http_1_1_is_the_only_protocol_that_is_offered(pool: PgPool) {
    let (app, roots, _msp) = two_domains(pool).await;
    for offered in [&["h2", "http/1.1"][..], &["http/1.1"], &["http/1.1", "acme-tls/1"]] {
        let chosen = negotiated(app.https, &roots, offered).await;
        assert_eq!(chosen, Ok(Some("http/1.1".to_owned())), "{offered:?}");
    }
    assert_eq!(negotiated(app.https, &roots, &[]).await, Ok(None));
    for offered in [&["h2"][..], &["acme-tls/1"], &["h2", "spdy/3"]] {
        let error = negotiated(app.https, &roots, offered).await.unwrap_err();
        assert!(error.contains("NoApplicationProtocol"), "{offered:?}: {error}");
    }
    // The beginning of an HTTP/2 connection is no request, with TLS or without.
    let mut wire = Wire::over(
        handshake(app.https, "contoso.com", trusting(&roots, BOTH))
            .await
            .unwrap(),
    );
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(wire.reply().await.map(|reply| reply.status), Some(400));
    app.stop().await;
}

#[sqlx::test]
async fn handshakes_that_are_begun_and_never_ended_keep_nobody_out(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let roots = roots_of(&app.state_dir);
    let name = "edge.signpost.test";
    eventually(|| async { handshake(app.https, name, trusting(&roots, BOTH)).await.is_ok() }).await;
    // More than the server's framework lets one worker have at once by itself.
    let workers = std::thread::available_parallelism().unwrap().get();
    let mut begun = Vec::new();
    for _ in 0..260 * workers {
        let mut stream = TcpStream::connect(app.https).await.unwrap();
        stream.write_all(b"\x16\x03\x01").await.unwrap();
        begun.push(stream);
    }
    let longest = std::time::Duration::from_secs(2);
    let ended = tokio::time::timeout(longest, handshake(app.https, name, trusting(&roots, BOTH))).await;
    ended.expect("a handshake at once").unwrap();
    // Nor at the other listener, where a CA looks.
    let asked = tokio::time::timeout(
        longest,
        crate::app::raw(app.http, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    );
    assert!(asked.await.expect("an answer at once").starts_with("HTTP/1.1 "));
}

#[sqlx::test]
async fn each_name_has_a_certificate_of_its_own_that_the_root_vouches_for(pool: PgPool) {
    let (app, roots, _msp) = two_domains(pool).await;
    for (name, status, body) in [
        ("contoso.com", 200, intune_document()),
        ("CONTOSO.com", 200, intune_document()),
        ("fabrikam.com", 200, intune_document_of(OTHER_TENANT, "com")),
        ("edge.signpost.test", 404, String::new()),
    ] {
        // The handshake fails unless chain, name and dates are right.
        let reply = ask_h1(app.https, &roots, name, name, "").await;
        assert_eq!((reply.status, reply.body), (status, body), "{name}");
    }
    let mut wire = Wire::over(
        handshake(app.https, "portal.signpost.test", trusting(&roots, BOTH))
            .await
            .unwrap(),
    );
    wire.send(b"GET /docs HTTP/1.1\r\nHost: portal.signpost.test\r\n\r\n")
        .await;
    let docs = wire.reply().await.unwrap();
    assert_eq!(
        (docs.status, docs.header("strict-transport-security")),
        (200, Some("max-age=31536000"))
    );
    let one = handshake(app.https, "contoso.com", trusting(&roots, BOTH))
        .await
        .unwrap();
    let other = handshake(app.https, "fabrikam.com", trusting(&roots, BOTH))
        .await
        .unwrap();
    assert_ne!(
        one.get_ref().1.peer_certificates(),
        other.get_ref().1.peer_certificates()
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_handshake_for_an_unknown_name_or_none_is_refused(pool: PgPool) {
    let (app, roots, msp) = two_domains(pool).await;
    msp.register("unverified.example").await;
    for name in ["unknown.example", "www.contoso.com", "unverified.example", "com"] {
        let error = handshake(app.https, name, trusting(&roots, BOTH)).await.unwrap_err();
        assert!(error.to_string().contains("alert"), "{name}: {error}");
    }
    let mut silent = trusting(&roots, BOTH);
    silent.enable_sni = false;
    let error = handshake(app.https, "contoso.com", silent).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
    let by_address = handshake(app.https, "127.0.0.1", trusting(&roots, BOTH))
        .await
        .unwrap_err();
    assert!(by_address.to_string().contains("alert"), "{by_address}");

    assert_eq!(msp.delete("/domains/contoso.com").await.status, 204);
    eventually(|| async {
        handshake(app.https, "contoso.com", trusting(&roots, BOTH))
            .await
            .is_err()
    })
    .await;
    assert_eq!(
        ask_h1(app.https, &roots, "fabrikam.com", "fabrikam.com", "")
            .await
            .status,
        200
    );
    app.stop().await;
}

#[sqlx::test]
async fn a_request_for_another_name_than_the_connections_is_misdirected(pool: PgPool) {
    let (app, roots, _msp) = two_domains(pool).await;
    for (name, host, status) in [
        ("contoso.com", "contoso.com", 200),
        ("contoso.com", "CONTOSO.com.:8443", 200),
        ("contoso.com", "fabrikam.com", 421),
        ("contoso.com", "unknown.example", 421),
        ("contoso.com", "portal.signpost.test", 421),
        ("contoso.com", "edge.signpost.test", 421),
        ("contoso.com", "127.0.0.1", 421),
        ("portal.signpost.test", "contoso.com", 421),
        ("edge.signpost.test", "contoso.com", 421),
        ("contoso.com", "a b", 400),
    ] {
        let reply = ask_h1(app.https, &roots, name, host, "").await;
        let expected = if status == 200 {
            intune_document()
        } else {
            String::new()
        };
        assert_eq!((reply.status, reply.body), (status, expected), "{name} {host}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn tls_1_2_and_1_3_are_spoken_and_the_log_tells_which(pool: PgPool) {
    let (app, roots, msp) = two_domains(pool).await;
    let speaks = async |version, expected| {
        let stream = handshake(app.https, "contoso.com", trusting(&roots, &[version]))
            .await
            .unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(expected));
        let suite = session.negotiated_cipher_suite().unwrap().suite();
        assert!(
            format!("{suite:?}").contains("GCM") || format!("{suite:?}").contains("CHACHA20"),
            "{suite:?}"
        );
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_ne!(group, NamedGroup::FFDHE2048);
        assert_eq!(ask_over(stream, "contoso.com", "").await.status, 200);
    };
    speaks(&TLS13, ProtocolVersion::TLSv1_3).await;
    speaks(&TLS12, ProtocolVersion::TLSv1_2).await;
    app.ask("contoso.com", "").await;
    let mut logged = msp.logged(3).await;
    logged.sort_by_key(|row| row["tls"].to_string());
    let tls: Vec<_> = logged.iter().map(|row| row["tls"].as_str()).collect();
    assert_eq!(tls, [Some("TLSv1.2"), Some("TLSv1.3"), None]);
    app.stop().await;
}

/// Written by hand: no library of today speaks it.
#[sqlx::test]
async fn a_client_that_knows_tls_1_1_at_most_is_refused(pool: PgPool) {
    let (app, _roots, _msp) = two_domains(pool).await;
    let first_bytes = async |version| {
        let mut tcp = TcpStream::connect(app.https).await.unwrap();
        tcp.write_all(&client_hello(version, "contoso.com")).await.unwrap();
        let mut answer = [0; 7];
        tcp.read_exact(&mut answer).await.unwrap();
        answer
    };
    // A record of type handshake; one of type alert: fatal, protocol_version (RFC 5246 §7.2).
    assert_eq!(first_bytes([3, 3]).await[0], 22);
    assert_eq!(first_bytes([3, 2]).await, [21, 3, 3, 0, 2, 2, 70]);
    assert_eq!(first_bytes([3, 1]).await, [21, 3, 3, 0, 2, 2, 70]);
    app.stop().await;
}

fn client_hello(version: [u8; 2], name: &str) -> Vec<u8> {
    let sized = |bytes: Vec<u8>| [u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec(), bytes].concat();
    let extension = |number: u8, content: Vec<u8>| [vec![0, number], sized(sized(content))].concat();
    let server_name = extension(0, [vec![0], sized(name.into())].concat());
    let secp256r1 = extension(10, vec![0, 23]);
    let ecdsa_with_sha256 = extension(13, vec![4, 3]);
    let extensions = sized([server_name, secp256r1, ecdsa_with_sha256].concat());
    let aes_128_gcm = sized(vec![0xc0, 0x2b]);
    let hello = [
        version.to_vec(),
        vec![7; 32],
        vec![0],
        aes_128_gcm,
        vec![1, 0],
        extensions,
    ]
    .concat();
    let handshake = [vec![1, 0], sized(hello)].concat();
    [vec![22, 3, 1], sized(handshake)].concat()
}

#[sqlx::test]
async fn a_session_is_resumed_for_its_own_name_and_never_for_another(pool: PgPool) {
    let (app, roots, _msp) = two_domains(pool).await;
    for version in BOTH {
        let mut config = trusting(&roots, &[version]);
        config.resumption = Resumption::store(Arc::new(Forgetful(ClientSessionMemoryCache::new(32))));
        let config = Arc::new(config);
        for (name, expected) in [
            ("contoso.com", HandshakeKind::Full),
            ("contoso.com", HandshakeKind::Resumed),
            ("fabrikam.com", HandshakeKind::Full),
            ("fabrikam.com", HandshakeKind::Resumed),
        ] {
            let stream = handshake(app.https, name, config.clone()).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            // A ticket comes with the first answer.
            assert_eq!(ask_over(stream, name, "").await.status, 200);
            assert_eq!(kind, Some(expected), "{name} {version:?}");
        }
    }
    app.stop().await;
}

/// Offers every server the last session that it had with any: what a hostile client would do.
#[derive(Debug)]
struct Forgetful(ClientSessionMemoryCache);

fn anybody() -> ServerName<'static> {
    ServerName::try_from("anybody.example").unwrap()
}

impl ClientSessionStore for Forgetful {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(anybody(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&anybody())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(anybody(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&anybody())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&anybody());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(anybody(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&anybody())
    }
}
