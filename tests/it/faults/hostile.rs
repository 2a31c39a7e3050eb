//! Servers that mean harm: they cost a bounded time and memory, and are named as far as that can be told.
use std::{fs, time::Duration};

use super::{
    bench::{Bench, document, site},
    dns::{Broken, BrokenDns},
    pki::Kind,
    table::{PATIENCE, Row, fails, well},
    tls_server::{Answer, TlsServer},
};
use crate::{process::TestDir, web_servers::WebServer};

const LINE: &str =
    "X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";

/// Each with what its server writes.
const SERVERS: &[(Row, Answer)] = &[
    (
        fails("endless-head", &[("http", "response_unreadable")]),
        Answer::Endless("HTTP/1.1 200 OK\r\n", LINE),
    ),
    (
        fails("endless-line", &[("http", "response_unreadable")]),
        Answer::Endless(
            "HTTP/1.1 200 OK\r\nX: ",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
    ),
    (
        fails("endless-body", &[("document", "body_too_large")]),
        Answer::Endless(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
            "                                                                               ",
        ),
    ),
    (
        fails("endless-chunks", &[("document", "body_too_large")]),
        Answer::Endless(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            "10\r\naaaaaaaaaaaaaaaa\r\n",
        ),
    ),
    (
        fails("cut-short", &[("http", "connection_closed")]),
        Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"Servers\":"),
    ),
    (
        fails("odd-chunks", &[("http", "response_unreadable")]).saying(&["chunks"]),
        Answer::Bytes(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
        ),
    ),
    (
        fails("not-http", &[("http", "response_unreadable")]),
        Answer::Bytes("220 mail.contoso.test ESMTP\r\n"),
    ),
    (
        fails("no-target", &[("http", "redirect_without_target")]).saying(&["302"]),
        Answer::Bytes("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
    ),
    (
        fails("bad-target", &[("http", "redirect_without_target")]),
        Answer::Bytes("HTTP/1.1 302 Found\r\nLocation: https://[::x/\r\nContent-Length: 0\r\n\r\n"),
    ),
    (
        fails("deep", &[("document", "invalid_json")]),
        Answer::Endless(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
            "[[[[[[[[[[",
        ),
    ),
];

#[test]
fn a_hostile_web_server_costs_a_bounded_time_and_is_named() {
    let rows: Vec<_> = SERVERS.iter().map(|(row, _)| *row).collect();
    let bench = Bench::of(&rows);
    let start = |(row, answer): &(Row, Answer)| (*row, TlsServer::start(&bench.issue(row, Kind::Good), *answer));
    let servers: Vec<_> = SERVERS.iter().map(start).collect();
    let table: Vec<_> = servers.iter().map(|(row, server)| (*row, server.port())).collect();
    bench.prober().assert_table(&table);
}

#[test]
fn an_unusual_web_server_that_a_device_gets_along_with_is_well() {
    let body = document();
    let old = format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
    let informing = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{old}").replace("1.0", "1.1");
    let rows = [well("old"), well("informing"), well("slow")];
    let bench = Bench::of(&rows);
    let start = |at: usize, answer| TlsServer::start(&bench.issue(&rows[at], Kind::Good), answer);
    let servers = [
        start(0, Answer::Bytes(&old)),
        start(1, Answer::Bytes(&informing)),
        start(2, Answer::Drip("", &old, Duration::from_millis(5))),
    ];
    let table: Vec<_> = rows
        .into_iter()
        .zip(&servers)
        .map(|(row, server)| (row, server.port()))
        .collect();
    bench.prober().assert_table(&table);
}

#[test]
fn ten_gigabytes_are_not_read() {
    let row = fails("huge", &[("document", "body_too_large")])
        .saying(&["64 KiB"])
        .curing(&["document"]);
    let bench = Bench::of(&[row]);
    let files = TestDir::new();
    // Takes no room on the disk.
    let body = fs::File::create(files.path().join("body")).unwrap();
    body.set_len(10 << 30).unwrap();
    let alias = format!("location = {{path}} {{ alias {}/body; }}", files.path().display());
    let nginx = WebServer::nginx(&site(
        &row.hostname(),
        &bench.issue(&row, Kind::Good),
        &["127.0.0.1"],
        &alias,
    ));
    bench.prober().assert_table(&[(row, nginx.port)]);
    // The same, by a process that may not hold as much.
    let prober = bench.prober();
    let said = prober.run_by(
        &["sh", "-c", "ulimit -v 1500000; exec \"$@\"", "sh"],
        &["probe", &row.hostname(), "--json"],
        nginx.port,
    );
    assert_eq!(
        said.json["steps"][5]["code"], "body_too_large",
        "{} {}",
        said.stdout, said.stderr
    );
}

#[test]
fn a_hostile_name_server_costs_a_bounded_time_and_no_address_is_believed() {
    for how in [Broken::Garbage, Broken::EndlessName, Broken::AliasOfItself] {
        let bench = Bench::new(&[]);
        let dns = BrokenDns::start(how);
        let mut prober = bench.prober();
        prober.dns = dns.address();
        let said = prober.probe("contoso.test", 443);
        let steps = said.json["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 1, "{how:?}: {:#}", said.json);
        assert_eq!((&steps[0]["step"], said.exit), (&"dns".into(), Some(1)), "{how:?}");
        assert!(said.took < PATIENCE, "{how:?}: {:?}", said.took);
    }
}

#[test]
fn what_a_server_says_reaches_no_terminal_as_a_command() {
    let row = fails("terminal", &[]);
    let bench = Bench::of(&[row]);
    let certificate = bench.issue(&row, Kind::Good);
    // ESC, and its form in one character.
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n\u{1b}]0;x\u{7} \u{1b}[2J \u{9b}31m \u{202e}          ",
        "HTTP/1.1 302 Found\r\nLocation: https://x.test/\u{9b}31m\u{202e}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: a/\u{9b}31m\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Type: \u{1b}[2J\r\nContent-Length: 2\r\n\r\n{}",
        "\u{1b}]0;x\u{7}\r\n",
    ] {
        let server = TlsServer::start(&certificate, Answer::Bytes(answer));
        for arguments in [&["probe", "terminal.test"][..], &["probe", "terminal.test", "--json"]] {
            let said = bench.prober().run(arguments, server.port());
            let text = said.stdout + &said.stderr;
            let is_command = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(
                said.exit == Some(1) && text.len() > 100 && !text.contains(is_command),
                "{text:?}"
            );
        }
    }
}
