//! What can be wrong between the address and the first request: the port, the certificate, the kind of TLS.
use std::net::{Ipv4Addr, TcpListener};

use super::{
    bench::{Bench, GOOD, site},
    dns::a,
    pki::Kind,
    table::{Row, fails, passes, well},
};
use crate::{
    process::{TestDir, free_port},
    web_servers::WebServer,
};

const CLOSED: Row = fails("closed", &[("connect", "connection_refused")])
    .saying(&["127.0.0.1", "refused"])
    .curing(&["port"]);

/// Each with its kind of certificate.
const CERTIFICATES: &[(Row, Kind)] = &[
    (well("trusted"), Kind::Good),
    (
        fails("expired", &[("tls", "certificate_expired")])
            .saying(&["expired", "{ten days ago}"])
            .curing(&["renew"]),
        Kind::Expired,
    ),
    (
        fails("not-yet-valid", &[("tls", "certificate_not_yet_valid")]).saying(&["{in ten days}"]),
        Kind::NotYetValid,
    ),
    (
        fails("self-signed", &[("tls", "certificate_self_signed")]).curing(&["public authority", "self-signed.test"]),
        Kind::SelfSigned,
    ),
    // Whether its issuer is an intermediate authority can't be told: nothing of it is known but its name.
    (
        fails("alone", &[("tls", "certificate_unknown_issuer")])
            .saying(&["Bench Intermediate", "not sent"])
            .curing(&["whole chain"]),
        Kind::LeafAlone,
    ),
    (
        fails("stranger", &[("tls", "certificate_unknown_issuer")]).saying(&["Stranger's"]),
        Kind::OfAStranger,
    ),
    (
        fails("nameless", &[("tls", "certificate_other_name")]).saying(&["nameless.test"]),
        Kind::CommonNameOnly,
    ),
    (
        fails("expired-above", &[("tls", "certificate_expired")]).saying(&["Intermediate", "{ten days ago}"]),
        Kind::ExpiredIntermediate,
    ),
    (
        fails("expired-stranger", &[("tls", "certificate_unknown_issuer")]).saying(&["expired"]),
        Kind::ExpiredOfAStranger,
    ),
    (fails("for-clients", &[("tls", "undetermined")]), Kind::ForClients),
    (
        fails("weak", &[("tls", "certificate_weak")])
            .saying(&["1024"])
            .curing(&["new key"]),
        Kind::Weak,
    ),
];

/// Each with what nginx is told of TLS.
const PROTOCOLS: &[(Row, &str)] = &[
    (
        well("tls-1-2"),
        "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;",
    ),
    (well("tls-1-3"), "ssl_protocols TLSv1.3;"),
    (
        fails("tls-1-1", &[("tls", "tls_too_old")])
            .saying(&["TLS 1.1"])
            .curing(&["TLS 1.2"]),
        "ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;",
    ),
    (
        fails("tls-1-0", &[("tls", "tls_too_old")])
            .saying(&["TLS 1.0"])
            .curing(&["TLS 1.2"]),
        "ssl_protocols TLSv1; ssl_ciphers ALL:@SECLEVEL=0;",
    ),
    (
        fails("old-suites", &[("tls", "tls_old_suites")]).curing(&["ECDHE"]),
        "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0;",
    ),
    // Tightened for OS 27: what runs today gets through.
    (
        passes("no-ems", &[("tls", "tls_no_extended_master_secret")]).saying(&["Extended Master Secret"]),
        "ssl_protocols TLSv1.2; ssl_conf_command Options -ExtendedMasterSecret;",
    ),
    (
        fails("refusing", &[("tls", "tls_refused")]).saying(&["unrecognized"]),
        "ssl_reject_handshake on;",
    ),
    (
        fails("for-members", &[("http", "authentication_required")]).saying(&["certificate"]),
        "ssl_verify_client on; ssl_client_certificate {root};",
    ),
    (
        fails("for-members-1-2", &[("http", "authentication_required")]).saying(&["certificate"]),
        "ssl_protocols TLSv1.2; ssl_verify_client on; ssl_client_certificate {root};",
    ),
];

#[test]
fn what_is_wrong_with_a_certificate_is_named() {
    let others = [CLOSED, other_name()];
    let rows: Vec<_> = CERTIFICATES.iter().map(|(row, _)| *row).chain(others).collect();
    let bench = Bench::of(&rows);
    // OpenSSL refuses to show an RSA key of 1024 bits unless it is told not to mind.
    let mut sites = "ssl_ciphers DEFAULT:@SECLEVEL=0;".to_owned();
    for (row, kind) in CERTIFICATES {
        sites += &site(&row.hostname(), &bench.issue(row, *kind), &["127.0.0.1"], GOOD);
    }
    let other = bench.pki.issue(&["www.contoso.test", "contoso.test"], Kind::Good);
    sites += &site(&other_name().hostname(), &other, &["127.0.0.1"], GOOD);
    let nginx = WebServer::nginx(&sites);
    let closed = free_port();
    let port = |row: &Row| if row.name == CLOSED.name { closed } else { nginx.port };
    let table: Vec<_> = rows.iter().map(|row| (*row, port(row))).collect();
    bench.prober().assert_table(&table);
}

const fn other_name() -> Row {
    fails("other-name", &[("tls", "certificate_other_name")])
        .saying(&["www.contoso.test", "contoso.test", "other-name.test"])
        .curing(&["other-name.test"])
}

#[test]
fn an_intermediate_certificate_that_is_left_out_is_looked_for_where_its_authority_has_it() {
    let there = fails("left-out", &[("tls", "certificate_chain_incomplete")])
        .saying(&["Bench Intermediate"])
        .curing(&["intermediate"]);
    let bench = Bench::of_and(&[there], &[a("ca.test", "127.0.0.1")]);
    let files = TestDir::new();
    files.write("intermediate.der", bench.pki.intermediate());
    let authority = WebServer::nginx(&format!(
        "server {{ listen 127.0.0.1:{{port}}; root {}; }}",
        files.path().display()
    ));
    let url = format!("http://ca.test:{}/intermediate.der", authority.port);
    let certificate = bench.pki.issue_alone(&there.hostname(), &url);
    let nginx = WebServer::nginx(&site(&there.hostname(), &certificate, &["127.0.0.1"], GOOD));
    bench.prober().assert_table(&[(there, nginx.port)]);
}

#[test]
fn an_old_or_unwilling_kind_of_tls_is_named() {
    let plain = fails("plain-http", &[("tls", "not_tls")])
        .saying(&["HTTP"])
        .curing(&["TLS"]);
    let hung = fails("hanging-up", &[("tls", "undetermined")]);
    let rows: Vec<_> = PROTOCOLS.iter().map(|(row, _)| *row).chain([plain, hung]).collect();
    let bench = Bench::of(&rows);
    let start = |(row, protocol): &(Row, &str)| {
        let text = format!("{protocol} {GOOD}").replace("{root}", bench.pki.root().to_str().unwrap());
        (
            *row,
            WebServer::nginx(&site(
                &row.hostname(),
                &bench.issue(row, Kind::Good),
                &["127.0.0.1"],
                &text,
            )),
        )
    };
    // One each: what a server block says of TLS counts for all of its port.
    let servers: Vec<_> = PROTOCOLS.iter().map(start).collect();
    let http = WebServer::nginx("server { listen 127.0.0.1:{port}; location / { return 200 x; } }");
    let hangs_up = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let hung_up_port = hangs_up.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in hangs_up.incoming() {
            drop(stream);
        }
    });
    let mut table: Vec<_> = servers.iter().map(|(row, server)| (*row, server.port)).collect();
    table.push((plain, http.port));
    table.push((hung, hung_up_port));
    bench.prober().assert_table(&table);
}
