//! Servers that let one wait, each in its own way. In one test, because all that they cost is time.
use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use super::{
    bench::Bench,
    dns::{Broken, BrokenDns, a, delegated},
    pki::Kind,
    table::{Row, fails},
    tls_server::{Answer, TlsServer},
};

const NO_DNS: Row = fails("no-dns", &[("dns", "dns_timeout")])
    .saying(&["in time"])
    .curing(&["name servers"]);
const MUTE: Row = fails("mute", &[("tls", "undetermined")]);

const SLOWLY: Duration = Duration::from_secs(1);
const LINE: &str =
    "X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";

/// Each with what its server writes.
const SERVERS: &[(Row, Answer)] = &[
    (
        fails("silent", &[("http", "response_too_slow")]).saying(&["no answer"]),
        Answer::Silence,
    ),
    (
        fails("dripping-head", &[("http", "response_too_slow")]),
        Answer::Drip("HTTP/1.1 200 OK\r\n", LINE, SLOWLY),
    ),
    (
        fails("dripping-body", &[("http", "response_too_slow")]),
        Answer::Drip(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
            LINE,
            SLOWLY,
        ),
    ),
];

#[test]
fn a_server_that_lets_one_wait_is_named_in_a_bounded_time() {
    let silent = BrokenDns::start(Broken::Silent);
    let rows: Vec<_> = SERVERS.iter().map(|(row, _)| *row).collect();
    let bench = Bench::of_and(
        &rows,
        &[
            delegated(&NO_DNS.hostname(), silent.socket_address()),
            a(&MUTE.hostname(), "127.0.0.1"),
        ],
    );
    let start = |(row, answer): &(Row, Answer)| (*row, TlsServer::start(&bench.issue(row, Kind::Good), *answer));
    let servers: Vec<_> = SERVERS.iter().map(start).collect();
    // Takes connections, as the system does for it, and never says a word.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut table: Vec<_> = servers.iter().map(|(row, server)| (*row, server.port())).collect();
    table.push((NO_DNS, 443));
    table.push((MUTE, mute.local_addr().unwrap().port()));
    bench.prober().assert_table(&table);
}
