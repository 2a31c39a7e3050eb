//! What a CA's validation is answered, by every node; and what plain HTTP still answers then.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_acme::acme::Account;
use signpost::certificates::{
    challenges::{ChallengeType, Offer, seen_by_all, store},
    internal::InternalCa,
    key_context, nodes,
};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{client::TlsStream, rustls};
use x509_parser::prelude::{FromDer, X509Certificate, oid_registry::Oid};

use crate::{
    app::{TestApp, WELL_KNOWN, eventually, settings},
    outage::Outage,
    tls::{BOTH, handshake, roots_of, trusting},
    wire::{Reply, Wire, ask_target, exchange, exchange_head},
};

const DIRECTORY: &str = "https://ca.test/directory";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const PATIENCE: Duration = Duration::from_secs(10);
const EDGE: &str = "edge.signpost.test";

const BY_HTTP: &[(&str, &str)] = &[
    ("SIGNPOST_CERTIFICATES", "acme"),
    ("SIGNPOST_ACME_DIRECTORY", DIRECTORY),
];
const BY_TLS: &[(&str, &str)] = &[
    ("SIGNPOST_CERTIFICATES", "acme"),
    ("SIGNPOST_ACME_DIRECTORY", DIRECTORY),
    ("SIGNPOST_ACME_CHALLENGE", "tls-alpn-01"),
];

/// One node whose account exists already.
async fn node(pool: PgPool, settings: &[(&str, &str)]) -> (TestApp, String) {
    let app = TestApp::start_with(pool, settings).await;
    let thumbprint = open_account(&app).await;
    (app, thumbprint)
}

/// Another node on the same database, with the same keys.
async fn beside(app: &TestApp, settings: &[(&str, &str)]) -> TestApp {
    let key_file = app.state_dir.join("secret.key");
    let keys = [("SIGNPOST_SECRET_KEY_FILE", key_file.to_str().unwrap())];
    TestApp::start_with(app.pool.clone(), &[settings, &keys].concat()).await
}

/// Stores an account with a new key. Its thumbprint, by RFC 7638 and nobody's library.
async fn open_account(app: &TestApp) -> String {
    let key = Account::generate_key_pair();
    let sealed = app
        .running
        .keyring()
        .seal(&format!("acme_accounts.key:{DIRECTORY}"), &key);
    let sql = "insert into acme_accounts (issuer, key_sealed) values ($1, $2)
               on conflict (issuer) do update set key_sealed = excluded.key_sealed";
    sqlx::query(sql)
        .bind(DIRECTORY)
        .bind(sealed)
        .execute(&app.pool)
        .await
        .unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let [x, y] = [x, y].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number));
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()))
}

async fn offer_for(pool: &PgPool, (hostname, token): (&str, &str), typ: ChallengeType, seconds: i64) {
    let offer = Offer {
        issuer: DIRECTORY,
        hostname,
        token,
        typ,
        expires_at: crate::clock::assume(crate::clock::now() + TimeDelta::seconds(seconds)),
    };
    store::offer(&mut pool.acquire().await.unwrap(), &[offer])
        .await
        .unwrap();
}

/// Offers it and waits until every node answers.
async fn offer(pool: &PgPool, hostname: &str, token: &str, typ: ChallengeType) {
    offer_for(pool, (hostname, token), typ, 600).await;
    assert!(
        seen_by_all(pool, hostname, token, PATIENCE).await.unwrap(),
        "{hostname} {token}"
    );
}

async fn withdraw(pool: &PgPool, hostname: &str) {
    store::withdraw(&mut pool.acquire().await.unwrap(), DIRECTORY, hostname)
        .await
        .unwrap();
}

fn path(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

async fn ask(address: SocketAddr, host: &str, token: &str) -> Reply {
    ask_target(address, host, path(token).as_bytes()).await
}

#[sqlx::test]
async fn every_node_answers_what_some_node_asked_for_and_nothing_else(pool: PgPool) {
    let (app, thumbprint) = node(pool, BY_HTTP).await;
    let other = beside(&app, BY_HTTP).await;
    for host in ["contoso.com", "xn--bcher-kva.example", EDGE, "portal.signpost.test"] {
        offer(&app.pool, host, TOKEN, ChallengeType::Http01).await;
    }
    let expected = format!("{TOKEN}.{thumbprint}");
    for address in [app.http, other.http] {
        for host in [
            "contoso.com",
            "CONTOSO.com:80",
            "contoso.com.",
            "Bücher.example",
            EDGE,
            "portal.signpost.test",
        ] {
            let reply = ask(address, host, TOKEN).await;
            assert_eq!((reply.status, &reply.body), (200, &expected), "{host}");
            assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        }
        for (host, token) in [
            ("fabrikam.com", TOKEN),
            ("www.contoso.com", TOKEN),
            ("com", TOKEN),
            ("contoso.com", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oB"),
            ("contoso.com", ""),
            (
                "contoso.com",
                "../acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
            ),
            ("contoso.com", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ%2DPCt92wr-oA"),
            ("contoso.com", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA/"),
            ("127.0.0.1", TOKEN),
            ("[::1]:80", TOKEN),
        ] {
            let reply = ask(address, host, token).await;
            assert_eq!((reply.status, reply.body.as_str()), (404, ""), "{host} {token}");
        }
        for host in ["a b", "contoso.com@evil.example", ""] {
            assert_eq!(ask(address, host, TOKEN).await.status, 400, "{host}");
        }
        let request = |method, more| {
            let path = path(TOKEN);
            format!("{method} {path} HTTP/1.1\r\nHost: contoso.com\r\n{more}\r\n").into_bytes()
        };
        let head = exchange_head(address, &request("HEAD", "Connection: close\r\n")).await;
        let length = expected.len().to_string();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some(length.as_str()))
        );
        assert_eq!(head.body, "");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"] {
            let reply = exchange(address, &request(method, "Content-Length: 0\r\n"))
                .await
                .unwrap();
            assert_eq!(
                (reply.status, reply.header("allow")),
                (405, Some("GET, HEAD")),
                "{method}"
            );
        }
    }
    withdraw(&app.pool, "contoso.com").await;
    for address in [app.http, other.http] {
        eventually(|| async { ask(address, "contoso.com", TOKEN).await.status == 404 }).await;
        assert_eq!(ask(address, EDGE, TOKEN).await.status, 200);
    }
    other.stop().await;
    app.stop().await;
}

#[sqlx::test]
async fn a_ca_is_told_to_look_only_when_every_live_node_answers(pool: PgPool) {
    let (app, _) = node(pool, BY_HTTP).await;
    let other = beside(&app, BY_HTTP).await;
    let seen = async |token, patience| seen_by_all(&app.pool, "contoso.com", token, patience).await.unwrap();
    offer(&app.pool, "contoso.com", "first", ChallengeType::Http01).await;
    assert!(!seen("unoffered", Duration::ZERO).await);

    // A node that lives and is silent; one that died a moment ago; one that died long ago.
    let silent = uuid::Uuid::now_v7();
    for (node_id, seconds) in [
        (silent, 0.0),
        (uuid::Uuid::now_v7(), 20.0),
        (uuid::Uuid::now_v7(), 700.0),
    ] {
        let sql =
            "insert into nodes (node_id, started_at, seen_at) values ($1, now(), now() - make_interval(secs => $2))";
        sqlx::query(sql)
            .bind(node_id)
            .bind(seconds)
            .execute(&app.pool)
            .await
            .unwrap();
    }
    assert!(!seen("first", Duration::from_millis(50)).await);
    nodes::store::leave(&mut app.pool.acquire().await.unwrap(), silent)
        .await
        .unwrap();
    assert!(seen("first", Duration::ZERO).await);

    let nodes = async || -> i64 {
        let count = sqlx::query_scalar("select count(*) from nodes");
        count.fetch_one(&app.pool).await.unwrap()
    };
    // The long dead one is forgotten by the next that says it lives; one that stops takes its leave.
    eventually(|| async { nodes().await == 3 }).await;
    other.stop().await;
    assert_eq!(nodes().await, 2);
    offer(&app.pool, "contoso.com", "second", ChallengeType::Http01).await;

    let pool = app.pool.clone();
    app.stop().await;
    assert!(
        !seen_by_all(&pool, "contoso.com", "second", Duration::ZERO)
            .await
            .unwrap()
    );
}

#[sqlx::test]
async fn what_is_offered_anew_is_waited_for_anew_also_as_another_type(pool: PgPool) {
    let (app, _) = node(pool, BY_HTTP).await;
    offer(&app.pool, "contoso.com", TOKEN, ChallengeType::Http01).await;
    offer_for(&app.pool, ("contoso.com", TOKEN), ChallengeType::TlsAlpn01, 600).await;
    assert!(seen_by_all(&app.pool, "contoso.com", TOKEN, PATIENCE).await.unwrap());
    assert_eq!(ask(app.http, "contoso.com", TOKEN).await.status, 404);
    offer(&app.pool, "contoso.com", TOKEN, ChallengeType::Http01).await;
    assert_eq!(ask(app.http, "contoso.com", TOKEN).await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn another_account_answers_for_what_is_open_too(pool: PgPool) {
    let (app, before) = node(pool, BY_HTTP).await;
    offer(&app.pool, "contoso.com", "first", ChallengeType::Http01).await;
    let after = open_account(&app).await;
    assert_ne!(before, after);
    offer(&app.pool, "fabrikam.com", "second", ChallengeType::Http01).await;
    for (host, token) in [("fabrikam.com", "second"), ("contoso.com", "first")] {
        eventually(|| async { ask(app.http, host, token).await.body == format!("{token}.{after}") }).await;
    }
    app.stop().await;
}

#[sqlx::test]
async fn another_cas_challenges_are_not_answered_and_one_that_is_none_disturbs_no_other(pool: PgPool) {
    let (app, _) = node(pool, BY_TLS).await;
    let long = "a".repeat(2_000);
    for (issuer, hostname, token, typ) in [
        ("https://other.test/directory", "contoso.com", TOKEN, "http-01"),
        (DIRECTORY, "contoso.com", "a/b", "http-01"),
        (DIRECTORY, "contoso.com", "a\r\nb", "http-01"),
        (DIRECTORY, "contoso.com", &long, "http-01"),
        (DIRECTORY, "bücher.example", "not-ascii", "tls-alpn-01"),
    ] {
        let sql = "insert into acme_challenges (issuer, hostname, token, type, expires_at)
                   values ($1, $2, $3, $4, now() + interval '1 hour')";
        let insert = sqlx::query(sql).bind(issuer).bind(hostname).bind(token).bind(typ);
        insert.execute(&app.pool).await.unwrap();
    }
    offer(&app.pool, "contoso.com", "good", ChallengeType::Http01).await;
    assert_eq!(ask(app.http, "contoso.com", "good").await.status, 200);
    for token in [TOKEN, "a/b", &long] {
        assert_eq!(ask(app.http, "contoso.com", token).await.status, 404);
    }
    let sightings: i64 = sqlx::query_scalar("select count(*) from challenge_sightings")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(sightings, 1);
    app.stop().await;
}

#[sqlx::test]
async fn without_the_database_what_is_in_memory_is_answered_until_it_expires(pool: PgPool) {
    let outage = Outage::of(&pool);
    let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
    let mut settings = settings(&pool, &state_dir, BY_HTTP);
    settings.database = Some(vec![outage.options()]);
    let app = TestApp::start_as(pool, state_dir, &settings).await;
    open_account(&app).await;
    offer(&app.pool, "contoso.com", "long", ChallengeType::Http01).await;
    offer_for(&app.pool, ("contoso.com", "short"), ChallengeType::Http01, 3).await;
    assert!(seen_by_all(&app.pool, "contoso.com", "short", PATIENCE).await.unwrap());
    assert_eq!(ask(app.http, "contoso.com", "short").await.status, 200);
    outage.begin();
    eventually(|| async { ask(app.http, "contoso.com", "short").await.status == 404 }).await;
    assert_eq!(ask(app.http, "contoso.com", "long").await.status, 200);

    offer_for(&app.pool, ("contoso.com", "meanwhile"), ChallengeType::Http01, 600).await;
    outage.end();
    assert!(
        seen_by_all(&app.pool, "contoso.com", "meanwhile", PATIENCE)
            .await
            .unwrap()
    );
    assert_eq!(ask(app.http, "contoso.com", "meanwhile").await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn a_node_that_starts_answers_from_its_first_request_on(pool: PgPool) {
    let (app, _) = node(pool, BY_HTTP).await;
    offer(&app.pool, "contoso.com", TOKEN, ChallengeType::Http01).await;
    let other = beside(&app, BY_HTTP).await;
    assert_eq!(ask(other.http, "contoso.com", TOKEN).await.status, 200);
    other.stop().await;
    app.stop().await;
}

#[sqlx::test]
async fn with_certificates_from_a_ca_plain_http_leads_to_https_and_nowhere_else(pool: PgPool) {
    let (app, _) = node(pool, &[BY_HTTP, &[("SIGNPOST_PUBLIC_HTTPS_PORT", "8443")]].concat()).await;
    for (host, target, location) in [
        ("contoso.com", "/", "https://contoso.com:8443/"),
        ("contoso.com", "/a?b=c&d", "https://contoso.com:8443/a?b=c&d"),
        ("contoso.com", "/%0d%0aX:%20y", "https://contoso.com:8443/%0d%0aX:%20y"),
        (
            "contoso.com",
            "//evil.example/",
            "https://contoso.com:8443//evil.example/",
        ),
        (
            "contoso.com",
            "/.well-known/acme-challenge",
            "https://contoso.com:8443/.well-known/acme-challenge",
        ),
        ("contoso.com", "/a\"b", "https://contoso.com:8443/a%22b"),
        ("unknown.example", "/x", "https://unknown.example:8443/x"),
        ("UNKNOWN.example.:80", "/x", "https://unknown.example:8443/x"),
        ("Bücher.example", "/x", "https://xn--bcher-kva.example:8443/x"),
        ("localhost", "/", "https://localhost:8443/"),
        (
            EDGE,
            "/d/contoso.com/x",
            "https://edge.signpost.test:8443/d/contoso.com/x",
        ),
        (
            "portal.signpost.test",
            "/api/v1/domains?x",
            "https://portal.signpost.test:8443/api/v1/domains?x",
        ),
        (
            "contoso.com",
            "http://fabrikam.com/x?y",
            "https://fabrikam.com:8443/x?y",
        ),
    ] {
        let reply = ask_target(app.http, host, target.as_bytes()).await;
        let seen = (reply.status, reply.header("location"), reply.body.as_str());
        assert_eq!(seen, (308, Some(location), ""), "{host} {target}");
    }
    let query = format!("{WELL_KNOWN}?user-identifier=ada@contoso.com");
    let reply = ask_target(app.http, "contoso.com", query.as_bytes()).await;
    assert_eq!(
        reply.header("location"),
        Some(format!("https://contoso.com:8443{query}").as_str())
    );
    for method in ["POST", "HEAD", "X"] {
        let request = format!("{method} /x HTTP/1.1\r\nHost: contoso.com\r\nContent-Length: 0\r\n\r\n");
        let reply = exchange(app.http, request.as_bytes()).await.unwrap();
        assert_eq!(reply.status, 308, "{method}");
    }
    // No path at all: it must not become a part of the host.
    let reply = exchange(app.http, b"OPTIONS * HTTP/1.1\r\nHost: contoso.com\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(reply.header("location"), Some("https://contoso.com:8443/"));
    for (host, status) in [
        ("127.0.0.1", 404),
        ("203.0.113.7:80", 404),
        ("[::1]", 404),
        ("a b", 400),
        ("contoso.com@evil.example", 400),
        ("contoso.com..", 400),
        ("a..b", 400),
        ("contoso.com:x", 400),
        ("", 400),
    ] {
        let reply = ask_target(app.http, host, b"/x").await;
        assert_eq!((reply.status, reply.header("location")), (status, None), "{host}");
    }
    let two = exchange(
        app.http,
        b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
    )
    .await
    .unwrap();
    assert_eq!((two.status, two.header("location")), (400, None));
    app.stop().await;
}

#[sqlx::test]
async fn with_certificates_of_our_own_plain_http_is_as_ever(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    assert_eq!(app.ask("contoso.com", "").await.status, 200);
    assert_eq!(ask(app.http, "contoso.com", TOKEN).await.status, 404);
    assert_eq!(ask_target(app.http, "unknown.example", b"/").await.status, 404);
    let error = validate(app.https, "contoso.com", &["acme-tls/1"], BOTH)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    app.stop().await;
}

/// Stores an ordinary certificate for one of our own hosts, and waits until it is served.
async fn certify(app: &TestApp, hostname: &str) -> RootCertStore {
    let (keyring, now) = (app.running.keyring(), crate::clock::now());
    let ca = InternalCa::open(&app.state_dir, &keyring, now).unwrap();
    let issued = ca.issue(hostname, crate::clock::assume(now)).unwrap();
    let sql = "insert into certificates (certificate_id, hostname, issuer, chain, key_sealed, not_before, not_after, renews_at)
               values ($1, $2, $3, $4, $5, $6, $7, $7)";
    sqlx::query(sql)
        .bind(uuid::Uuid::now_v7())
        .bind(hostname)
        .bind(DIRECTORY)
        .bind(issued.chain)
        .bind(keyring.seal(&key_context(hostname, DIRECTORY), &issued.key))
        .bind(issued.not_before)
        .bind(issued.not_after)
        .execute(&app.pool)
        .await
        .unwrap();
    let roots = roots_of(&app.state_dir);
    eventually(|| async { handshake(app.https, hostname, trusting(&roots, BOTH)).await.is_ok() }).await;
    roots
}

/// What a CA does: it offers `protocols`, and looks at the certificate afterwards.
async fn validate(
    address: SocketAddr,
    name: &str,
    protocols: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(address, name, looking(protocols, versions)).await
}

fn looking(protocols: &[&str], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let mut config = builder
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// RFC 8737 §3: self-signed, for this name only, with the key authorization's digest in a critical extension.
#[track_caller]
fn assert_validates(certificates: &[CertificateDer<'_>], name: &str, key_authorization: &str) {
    let [certificate] = certificates else {
        panic!("{} certificates", certificates.len())
    };
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        format!("{:?}", names.value.general_names),
        format!("[DNSName({name:?})]")
    );
    let oid = Oid::from(&[1, 3, 6, 1, 5, 5, 7, 1, 31]).unwrap();
    let extension = certificate.get_extension_unique(&oid).unwrap().unwrap();
    assert!(extension.critical);
    let expected = [&[4, 32], digest(&SHA256, key_authorization.as_bytes()).as_ref()].concat();
    assert_eq!(extension.value, expected);
}

#[sqlx::test]
async fn a_validation_by_tls_is_shown_its_certificate_and_everybody_else_the_ordinary_one(pool: PgPool) {
    let (app, thumbprint) = node(pool, BY_TLS).await;
    let other = beside(&app, BY_TLS).await;
    let roots = certify(&app, EDGE).await;
    let ordinary = async |protocols: &[&str]| {
        let mut config = trusting(&roots, BOTH);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        handshake(app.https, EDGE, config).await.map(|stream| {
            let session = stream.get_ref().1;
            (
                session.alpn_protocol().map(<[u8]>::to_vec),
                session.peer_certificates().unwrap().to_vec(),
            )
        })
    };
    let (_, before) = ordinary(&[]).await.unwrap();
    // A name that has a certificate is not validated for want of a challenge; nor is one that nobody knows.
    for name in [EDGE, "contoso.com"] {
        let error = validate(app.https, name, &["acme-tls/1"], BOTH).await.unwrap_err();
        assert!(error.to_string().contains("AccessDenied"), "{name}: {error}");
    }
    for name in [EDGE, "contoso.com"] {
        offer(&app.pool, name, TOKEN, ChallengeType::TlsAlpn01).await;
    }
    for address in [app.https, other.https] {
        for version in BOTH {
            for (asked, name) in [
                (EDGE, EDGE),
                ("contoso.com", "contoso.com"),
                ("CONTOSO.com", "contoso.com"),
            ] {
                let stream = validate(address, asked, &["acme-tls/1"], &[version]).await.unwrap();
                let session = stream.get_ref().1;
                assert_eq!(session.alpn_protocol(), Some(b"acme-tls/1".as_slice()));
                assert_validates(
                    session.peer_certificates().unwrap(),
                    name,
                    &format!("{TOKEN}.{thumbprint}"),
                );
            }
        }
    }
    for (protocols, chosen) in [
        (&[][..], None),
        (&["http/1.1"], Some("http/1.1")),
        (&["acme-tls/1", "h2", "http/1.1"], Some("http/1.1")),
    ] {
        let (protocol, shown) = ordinary(protocols).await.unwrap();
        assert_eq!(protocol.as_deref(), chosen.map(str::as_bytes), "{protocols:?}");
        assert_eq!(shown, before, "{protocols:?}");
    }
    for protocols in [
        &["acme-tls/1", "spdy/3"][..],
        &["acme-tls/1", "acme-tls/1"],
        &["acme-tls/2"],
    ] {
        let error = validate(app.https, EDGE, protocols, BOTH).await.unwrap_err();
        assert!(error.to_string().contains("alert"), "{protocols:?}: {error}");
    }
    // A name with a challenge only is nobody else's.
    assert!(validate(app.https, "contoso.com", &[], BOTH).await.is_err());
    assert!(
        validate(app.https, "contoso.com", &["h2", "http/1.1"], BOTH)
            .await
            .is_err()
    );

    withdraw(&app.pool, EDGE).await;
    eventually(|| async { validate(app.https, EDGE, &["acme-tls/1"], BOTH).await.is_err() }).await;
    assert_eq!(ordinary(&[]).await.unwrap().1, before);
    other.stop().await;
    app.stop().await;
}

#[sqlx::test]
async fn after_a_validation_nothing_is_answered_and_no_session_is_left_to_resume(pool: PgPool) {
    let (app, _) = node(pool, BY_TLS).await;
    certify(&app, EDGE).await;
    offer(&app.pool, EDGE, TOKEN, ChallengeType::TlsAlpn01).await;
    for version in BOTH {
        let mut stream = validate(app.https, EDGE, &["acme-tls/1"], &[version]).await.unwrap();
        let request = format!("GET /d/contoso.com{WELL_KNOWN} HTTP/1.1\r\nHost: {EDGE}\r\n\r\n");
        // The server may have closed it already.
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("the server closes").ok();
        assert_eq!(answer, b"", "{version:?}");

        // Neither kind of connection begins with a session of the other, nor with one of its own.
        let mut config = looking(&[], &[version]);
        for protocols in [&["http/1.1"][..], &["acme-tls/1"], &["http/1.1"]] {
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            let mut stream = handshake(app.https, EDGE, config.clone()).await.unwrap();
            assert_eq!(
                stream.get_ref().1.handshake_kind(),
                Some(HandshakeKind::Full),
                "{version:?}"
            );
            let request = format!("GET / HTTP/1.1\r\nHost: {EDGE}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn openssl_sees_the_same_validation(pool: PgPool) {
    let (app, thumbprint) = node(pool, BY_TLS).await;
    offer(&app.pool, "contoso.com", TOKEN, ChallengeType::TlsAlpn01).await;
    let connect = async |alpn: &str| {
        let output = tokio::process::Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &app.https.to_string(),
                "-servername",
                "contoso.com",
            ])
            .args(["-alpn", alpn, "-showcerts"])
            .stdin(std::process::Stdio::null())
            .output();
        String::from_utf8_lossy(&output.await.unwrap().stdout).into_owned()
    };
    let shown = connect("acme-tls/1").await;
    assert!(shown.contains("ALPN protocol: acme-tls/1"), "{shown}");
    let pem = rustls::pki_types::pem::PemObject::from_pem_slice(shown.as_bytes());
    let certificate: CertificateDer<'_> = pem.unwrap();
    assert_validates(&[certificate], "contoso.com", &format!("{TOKEN}.{thumbprint}"));
    assert!(!connect("h2,http/1.1").await.contains("BEGIN CERTIFICATE"));
    app.stop().await;
}

#[sqlx::test]
async fn validations_make_no_row_in_the_request_log(pool: PgPool) {
    let (app, _) = node(pool, BY_HTTP).await;
    let roots = certify(&app, EDGE).await;
    offer(&app.pool, EDGE, TOKEN, ChallengeType::Http01).await;
    for token in [TOKEN, "unknown"] {
        ask(app.http, EDGE, token).await;
    }
    // Over TLS alike, and there the next request is a device's.
    let mut wire = Wire::over(handshake(app.https, EDGE, trusting(&roots, BOTH)).await.unwrap());
    for (target, status) in [
        (path(TOKEN), 200),
        (path("unknown"), 404),
        (format!("/d/contoso.com{WELL_KNOWN}"), 404),
    ] {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {EDGE}\r\n\r\n").as_bytes())
            .await;
        assert_eq!(wire.reply().await.unwrap().status, status, "{target}");
    }
    let logged = async || -> Vec<String> {
        let hostnames = sqlx::query_scalar("select hostname from requests");
        hostnames.fetch_all(&app.pool).await.unwrap()
    };
    eventually(|| async { !logged().await.is_empty() }).await;
    assert_eq!(logged().await, ["contoso.com"]);
    app.stop().await;
}
