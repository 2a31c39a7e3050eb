//! What can be wrong with a domain's addresses.
use super::{
    bench::{Bench, GOOD, site},
    dns::{Broken, BrokenDns, a, cname, delegated, txt},
    pki::Kind,
    table::{Row, fails, well},
};
use crate::web_servers::WebServer;

const NO_RECORD: Row = fails("no-record", &[("dns", "no_address")])
    .saying(&["no-record.test", "neither"])
    .curing(&["A or AAAA record"]);
const NOT_THERE: Row = fails("not-there", &[("dns", "no_such_name")])
    .saying(&["not-there.test", "NXDOMAIN"])
    .curing(&["A or AAAA record"]);
const ALIAS_OF_NOTHING: Row = fails("alias-of-nothing", &[("dns", "no_such_name")]).saying(&["alias"]);
const SERVER_FAILURE: Row = fails("server-failure", &[("dns", "dns_server_failure")])
    .saying(&["SERVFAIL"])
    .curing(&["name servers", "DNSSEC"]);
const REFUSED: Row = fails("refused", &[("dns", "dns_refused")])
    .saying(&["refused"])
    .curing(&["name servers"]);
const PRIVATE: Row = fails("private", &[("dns", "forbidden_address")])
    .saying(&["not a public address"])
    .curing(&["public address"]);
const METADATA: Row = fails("metadata", &[("dns", "forbidden_address")])
    .saying(&["not a public address"])
    .curing(&["public address"]);
const MAPPED: Row = fails("mapped", &[("dns", "forbidden_address")]).saying(&["not a public address"]);

#[test]
fn a_domain_without_an_address_is_told_why_it_has_none() {
    let failing = BrokenDns::start(Broken::ServerFailure);
    let refusing = BrokenDns::start(Broken::Refused);
    let bench = Bench::new(&[
        txt("no-record.test", &["v=spf1 -all"]),
        cname("alias-of-nothing.test", "not-there.test"),
        delegated("server-failure.test", failing.socket_address()),
        delegated("refused.test", refusing.socket_address()),
        a("private.test", "10.0.0.7"),
        a("metadata.test", "169.254.169.254"),
        a("mapped.test", "::ffff:10.0.0.7"),
    ]);
    let rows = [
        NO_RECORD,
        NOT_THERE,
        ALIAS_OF_NOTHING,
        SERVER_FAILURE,
        REFUSED,
        PRIVATE,
        METADATA,
        MAPPED,
    ];
    bench.prober().assert_table(&rows.map(|row| (row, 443)));
}

const BY_ALIAS: Row = well("by-alias");
const BY_IPV6: Row = well("by-ipv6");
const WRONG_A: Row = fails("wrong-a", &[("tls", "certificate_other_name")])
    .saying(&["wrong-a.test", "hosting.test"])
    .curing(&["wrong-a.test"]);
const AAAA_CLOSED: Row = fails("aaaa-closed", &[("connect", "some_addresses_fail")])
    .saying(&["::1"])
    .curing(&["AAAA"]);
const A_CLOSED: Row = fails("a-closed", &[("connect", "some_addresses_fail")]).saying(&["127.0.0.3"]);
const AAAA_ELSEWHERE: Row = fails("aaaa-elsewhere", &[("connect", "some_addresses_fail")])
    .saying(&["::1"])
    .curing(&["AAAA"]);
const SOME_PRIVATE: Row = fails("some-private", &[("dns", "forbidden_address")])
    .saying(&["not a public address"])
    .curing(&["public address"]);

#[test]
fn an_address_that_leads_elsewhere_is_named() {
    let bench = Bench::new(&[
        cname("by-alias.test", "hosting.test"),
        a("hosting.test", "127.0.0.1"),
        a("by-ipv6.test", "::1"),
        a("wrong-a.test", "127.0.0.2"),
        a("aaaa-closed.test", "127.0.0.2"),
        a("aaaa-closed.test", "::1"),
        a("a-closed.test", "127.0.0.1"),
        a("a-closed.test", "127.0.0.3"),
        a("aaaa-elsewhere.test", "127.0.0.1"),
        a("aaaa-elsewhere.test", "::1"),
        a("some-private.test", "127.0.0.1"),
        a("some-private.test", "10.0.0.7"),
    ]);
    let own = |row: Row, listen: &str| site(&row.hostname(), &bench.issue(&row, Kind::Good), &[listen], GOOD);
    // The first site of an address answers what no site is for.
    let nginx = WebServer::nginx(
        &[
            site(
                "hosting.test",
                &bench.pki.issue(&["hosting.test"], Kind::Good),
                &["127.0.0.1", "[::1]"],
                GOOD,
            ),
            own(BY_ALIAS, "127.0.0.1"),
            own(BY_IPV6, "[::1]"),
            own(A_CLOSED, "127.0.0.1"),
            own(AAAA_ELSEWHERE, "127.0.0.1"),
            own(SOME_PRIVATE, "127.0.0.1"),
        ]
        .concat(),
    );
    let other = WebServer::nginx(
        &[
            site(
                "hosting.test",
                &bench.pki.issue(&["hosting.test"], Kind::Good),
                &["127.0.0.2", "127.0.0.1"],
                GOOD,
            ),
            own(AAAA_CLOSED, "127.0.0.2"),
        ]
        .concat(),
    );
    let rows = [BY_ALIAS, BY_IPV6, A_CLOSED, AAAA_ELSEWHERE, SOME_PRIVATE].map(|row| (row, nginx.port));
    let others = [WRONG_A, AAAA_CLOSED].map(|row| (row, other.port));
    bench.prober().assert_table(&[rows.as_slice(), &others].concat());
}
