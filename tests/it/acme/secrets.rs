//! Private keys are read by nobody: not in the database, a log, a file of ours or an answer.
use std::{fs, path::Path};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use signpost::{certificates::key_context, sealed::Keyring};
use sqlx::PgPool;

use super::{
    ca_proxy::{CaProxy, Kind, Trouble, Where},
    cluster::{Cluster, EDGE, PORTAL, World, hostnames, shown},
    pebble::{Options, Pebble},
};

#[sqlx::test]
async fn no_private_key_is_readable_in_the_database_a_log_a_file_or_an_answer(pool: PgPool) {
    let world = World::new();
    let public = world.balancer.public();
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let cluster = Cluster::new(&world, &pool, &proxy.directory(), 2);
    let mut cluster = cluster.set("SIGNPOST_LOG", "debug");
    let mut names = hostnames("sealed", 3);
    world.names.put_here(&names);
    // Its order stays open, with its key in it.
    let held = proxy.inject(Where::at(Kind::Finalize).of(&names[2]), Trouble::HoldBefore, 1);
    cluster.start();
    cluster.register(&names).await;
    held.wait_until_held().await;
    names.truncate(2);
    names.extend([PORTAL.to_owned(), EDGE.to_owned()]);
    shown(cluster.https(), &names, 60).await;

    let secrets = secrets(&pool, &cluster.key_file()).await;
    assert!(
        secrets.len() > names.len(),
        "those of the certificates, and the account's"
    );
    let mut places = tables(&pool).await;
    assert!(
        places
            .iter()
            .any(|(name, text)| name == "acme_orders" && String::from_utf8_lossy(text).contains("sealed-002"))
    );
    places.extend(
        cluster
            .said()
            .into_iter()
            .map(|line| ("a log".to_owned(), line.into_bytes())),
    );
    for state_dir in cluster.state_dirs() {
        files(&state_dir, &mut places);
    }
    for path in [
        "/domains".to_owned(),
        "/domains/sealed-000.test".to_owned(),
        "/domains/sealed-002.test".to_owned(),
        "/domains/sealed-000.test/probe".to_owned(),
        "/domains/sealed-000.test/setup".to_owned(),
        "/audit-events".to_owned(),
    ] {
        let answer = cluster.msp().await.get(&path).await;
        places.push((path, answer.text.into_bytes()));
    }
    for node in cluster.running() {
        let metrics = reqwest::get(format!("http://{}/metrics", node.ops)).await.unwrap();
        places.push(("metrics".to_owned(), metrics.bytes().await.unwrap().to_vec()));
    }
    held.release();
    let needles: Vec<_> = secrets.iter().flat_map(|secret| forms(secret)).chain(marks()).collect();
    for (place, text) in &places {
        assert!(!shows_any(text, &needles), "a private key in {place}");
    }
}

#[test]
fn a_key_is_found_in_whatever_form_and_place_it_is_written() {
    let key = rcgen::KeyPair::generate().unwrap();
    let (der, pem) = (key.serialize_der(), key.serialize_pem());
    let needles = forms(&der);
    let hex = hex(&der);
    let base64 = STANDARD_NO_PAD.encode(&der);
    let inside: Vec<_> = (0..3)
        .map(|more| STANDARD_NO_PAD.encode([&vec![7; more], der.as_slice()].concat()))
        .collect();
    for text in [
        &hex,
        &hex.to_uppercase(),
        &base64,
        &inside[0],
        &inside[1],
        &inside[2],
        &format!("{der:?}"),
    ] {
        assert!(shows_any(text.as_bytes(), &needles), "{text}");
    }
    assert!(shows_any(&der, &needles));
    assert!(shows_any(pem.as_bytes(), &marks()));
}

/// Every private key as its owner reads it: PKCS#8.
async fn secrets(pool: &PgPool, key_file: &Path) -> Vec<Vec<u8>> {
    let keyring = Keyring::load(key_file).unwrap();
    let certificates: Vec<(String, String, Vec<u8>)> =
        sqlx::query_as("select hostname, issuer, key_sealed from certificates")
            .fetch_all(pool)
            .await
            .unwrap();
    let accounts: Vec<(String, Vec<u8>)> = sqlx::query_as("select issuer, key_sealed from acme_accounts")
        .fetch_all(pool)
        .await
        .unwrap();
    let of_certificates = certificates
        .iter()
        .map(|(hostname, issuer, sealed)| (key_context(hostname, issuer), sealed));
    let of_accounts = accounts
        .iter()
        .map(|(issuer, sealed)| (format!("acme_accounts.key:{issuer}"), sealed));
    let open = |(context, sealed): (String, &Vec<u8>)| keyring.open(&context, sealed).unwrap();
    of_certificates.chain(of_accounts).map(open).collect()
}

/// Each row of each table as text; what is binary is in hex there.
async fn tables(pool: &PgPool) -> Vec<(String, Vec<u8>)> {
    let tables = "select table_name::text from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(pool).await.unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let all = sqlx::AssertSqlSafe(format!("select t::text from \"{table}\" t"));
        let all: Vec<String> = sqlx::query_scalar(all).fetch_all(pool).await.unwrap();
        rows.extend(all.into_iter().map(|row| (table.clone(), row.into_bytes())));
    }
    rows
}

fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push((path.display().to_string(), fs::read(&path).unwrap_or_default())),
        }
    }
}

/// The number that makes a key of P-256 private, in every form in which it could be written.
fn forms(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    // RFC 5915: an octet string of 32 bytes.
    let at = pkcs8.windows(2).position(|two| two == [0x04, 0x20]).unwrap() + 2;
    let secret = &pkcs8[at..at + 32];
    let numbers: Vec<_> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![
        secret.to_vec(),
        hex(secret).into_bytes(),
        hex(secret).to_uppercase().into_bytes(),
        numbers.join(", ").into_bytes(),
    ];
    // Wherever it stands in what is encoded: of each three bytes one begins a group of four characters.
    for skipped in 0..3 {
        let whole = &secret[skipped..skipped + 30];
        forms.extend([
            STANDARD_NO_PAD.encode(whole).into_bytes(),
            URL_SAFE_NO_PAD.encode(whole).into_bytes(),
        ]);
    }
    forms
}

/// What every key begins with when it is written unsealed: PEM, PKCS#8 and SEC 1 of P-256 in hex and base64, a JWK.
fn marks() -> Vec<Vec<u8>> {
    let marks = [
        "PRIVATE KEY",
        "308187020100301306072a8648ce3d0201",
        "30770201010420",
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49",
        "MHcCAQEEI",
    ];
    marks.map(|mark| mark.as_bytes().to_vec()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn shows_any(text: &[u8], needles: &[Vec<u8>]) -> bool {
    // Each byte a character of its own: the standard library searches text much faster than bytes.
    let characters = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let text = characters(text);
    needles.iter().any(|needle| text.contains(&characters(needle)))
}
