//! What must never meet: a CA and a domain that is not ready for it, two CAs on one database, a private key and a reader.
use std::{collections::BTreeSet, net::SocketAddr};

use sqlx::PgPool;
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::rustls::RootCertStore;

use super::{
    ca_proxy::CaProxy,
    cluster::{Cluster, EDGE, PORTAL, World, leaf, shown},
    names::{Record, address},
    pebble::{Options, Pebble},
    rig::{self, within},
};
use crate::tls;

/// What is wrong with a domain, and the code of why it gets no certificate if it was right once.
fn wrongs() -> Vec<(&'static str, Vec<Record>, &'static str)> {
    let here = || address("127.0.0.1");
    vec![
        ("elsewhere", vec![address("127.0.0.2")], "address_elsewhere"),
        ("one-elsewhere", vec![here(), address("127.0.0.2")], "address_elsewhere"),
        (
            "v6-elsewhere",
            vec![here(), address("2001:db8::1")],
            "address_elsewhere",
        ),
        ("private", vec![address("10.0.0.1")], "address_elsewhere"),
        (
            "alias-elsewhere",
            vec![Record::Alias("elsewhere.test".to_owned())],
            "alias_elsewhere",
        ),
        ("without-records", vec![], "no_address"),
        ("stranger", vec![address("127.0.0.3")], "self_test_unreached"),
        (
            "one-stranger",
            vec![here(), address("127.0.0.3")],
            "self_test_unreached",
        ),
    ]
}

#[sqlx::test]
async fn a_domain_that_is_not_ready_costs_the_ca_not_one_question(pool: PgPool) {
    let world = World::new();
    let public = world.balancer.public();
    // Somebody else's web server, on the same port of another address that is said to be ours.
    answer_like_a_stranger(SocketAddr::from(([127, 0, 0, 3], public.http))).await;
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let cluster = Cluster::new(&world, &pool, &proxy.directory(), 1);
    let mut cluster = cluster.set("SIGNPOST_EDGE_ADDRESSES", "127.0.0.1,127.0.0.3");
    let wrongs = wrongs();
    let name = |prefix: &str, (what, ..): &(&str, Vec<Record>, &str)| format!("{prefix}{what}.test");
    let never: Vec<_> = wrongs.iter().map(|wrong| name("", wrong)).collect();
    let once: Vec<_> = wrongs.iter().map(|wrong| name("once-", wrong)).collect();
    for (wrong, name) in wrongs.iter().zip(&never).chain(wrongs.iter().zip(&once)) {
        world.names.put(name, &wrong.1);
    }
    cluster.start();
    cluster.register(&[never.clone(), once.clone()].concat()).await;
    // As if it had been seen to be right, and had changed since.
    let connected = "update domain_checks set connected_at = now() from domains d
                      where domain_checks.domain_id = d.domain_id and d.hostname = any($1)";
    let connected = sqlx::query(connected).bind(&once).execute(&pool).await.unwrap();
    assert_eq!(connected.rows_affected(), once.len() as u64);
    // Who starts looks at everything.
    cluster.stop(0);
    cluster.start();
    let failures = || async {
        let listed = "select hostname, failure ->> 'code' from certificate_leases
                       where hostname = any($1) and failure is not null order by hostname";
        let rows: Vec<(String, String)> = sqlx::query_as(listed).bind(&once).fetch_all(&pool).await.unwrap();
        rows
    };
    within(90, "it is written down of each what is wrong", || async {
        failures().await.len() == once.len()
    })
    .await;
    let mut expected: Vec<_> = once
        .iter()
        .cloned()
        .zip(wrongs.iter().map(|wrong| wrong.2.to_owned()))
        .collect();
    expected.sort();
    assert_eq!(failures().await, expected);
    // One that is ready, after them all: the CA is asked for it, and for it alone.
    let right = ["right.test".to_owned()];
    world.names.put_here(&right);
    cluster.register(&right).await;
    shown(cluster.https(), &right, 30).await;
    let asked: BTreeSet<_> = proxy
        .requests()
        .into_iter()
        .filter_map(|record| record.hostname)
        .collect();
    let ready = [EDGE, PORTAL, "right.test"].map(str::to_owned);
    assert_eq!(asked, BTreeSet::from(ready));
}

#[sqlx::test]
async fn two_cas_on_one_database_never_meet(pool: PgPool) {
    let production = World::new();
    let staging = World::new();
    let start = |world: &World| {
        let pebble = Pebble::start(
            &world.pki,
            &world.names.address(),
            world.balancer.public(),
            Options::fast(),
        );
        let proxy = CaProxy::start(&world.pki, pebble.port());
        (pebble, proxy)
    };
    let (real, real_proxy) = start(&production);
    let (trial, trial_proxy) = start(&staging);
    let mut theirs = Cluster::new(&staging, &pool, &trial_proxy.directory(), 1);
    let mut ours = theirs.beside(&production, &pool, &real_proxy.directory(), 1);
    let names = ["both.test".to_owned()];
    production.names.put_here(&names);
    staging.names.put_here(&names);
    theirs.start();
    theirs.register(&names).await;
    shown(theirs.https(), &names, 30).await;

    // The CA of production is away: nothing may stand in for it.
    real_proxy.refuse();
    ours.start();
    let [ours, theirs] = [ours.https()[0], theirs.https()[0]];
    let failed = "select count(*) from certificate_leases where issuer = $1 and failure is not null";
    let failed = || async {
        let failed = sqlx::query_scalar::<_, i64>(failed).bind(real_proxy.directory());
        failed.fetch_one(&pool).await.unwrap() == 3
    };
    within(30, "production has tried", failed).await;
    assert!(leaf(ours, "both.test").await.is_none() && leaf(ours, PORTAL).await.is_none());

    real_proxy.accept();
    for later in [
        "update certificate_leases set due_at = now() where failure is not null",
        "update acme_accounts set paused_until = null",
    ] {
        sqlx::query(later).execute(&pool).await.unwrap();
    }
    shown(vec![ours], &names, 40).await;
    shown(vec![ours], &[PORTAL.to_owned()], 40).await;
    for (node, pebble, other) in [(ours, &real, &trial), (theirs, &trial, &real)] {
        for name in ["both.test", PORTAL] {
            assert!(trusts(pebble, node, name).await, "{name}");
            assert!(!trusts(other, node, name).await, "{name}");
        }
    }
    let issuers = "select count(distinct issuer) from certificates where hostname = 'both.test'";
    let issuers: i64 = sqlx::query_scalar(issuers).fetch_one(&pool).await.unwrap();
    assert_eq!((issuers, real_proxy.accounts(), trial_proxy.accounts()), (2, 1, 1));
}

async fn trusts(pebble: &Pebble, node: SocketAddr, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(pebble.issuer_root().await).unwrap();
    tls::handshake(node, name, tls::trusting(&roots, tls::BOTH))
        .await
        .is_ok()
}

/// 200 and a page of its own, whatever is asked.
async fn answer_like_a_stranger(at: SocketAddr) {
    let _inside = rig::runtime().enter();
    let listener = TcpListener::bind(at).await.unwrap();
    rig::runtime().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let page = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nWelcome";
            // Who asked may be gone.
            let _ = stream.write_all(page).await;
        }
    });
}
