//! What must never meet: a CA and a domain that is not ready for it, two CAs on one database, a private key and a reader.
use std::net::SocketAddr;

use sqlx::PgPool;
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::rustls::RootCertStore;

use super::{
    ca_proxy::CaProxy,
    cluster::{Cluster, PORTAL, World, leaf, shown},
    names::{Record, address},
    pebble::{Options, Pebble},
    rig::{self, within},
};
use crate::tls;

#[sqlx::test]
async fn a_domain_that_is_not_ready_costs_the_ca_not_one_question(pool: PgPool) {
    let world = World::new();
    let public = world.balancer.public();
    // Somebody else's web server, on the same port of another address that is said to be ours.
    let stranger = SocketAddr::from(([127, 0, 0, 3], public.http));
    answer_like_a_stranger(stranger).await;
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let cluster = Cluster::new(&world, &pool, &proxy.directory(), 1);
    let mut cluster = cluster.set("SIGNPOST_EDGE_ADDRESSES", "127.0.0.1,127.0.0.3");
    let forbids = |flags, tag, value: &str| Record::Caa(flags, tag, value.to_owned());
    let here = || address("127.0.0.1");
    for (name, records) in [
        ("elsewhere.test", vec![address("127.0.0.2")]),
        ("one-elsewhere.test", vec![here(), address("127.0.0.2")]),
        ("v6-elsewhere.test", vec![here(), address("2001:db8::1")]),
        ("nobody.test", vec![here(), forbids(0, "issue", ";")]),
        (
            "other-ca.test",
            vec![here(), forbids(0, "issue", "some-other-ca.example")],
        ),
        ("unknown-critical.test", vec![here(), forbids(128, "tbs", "unknown")]),
        ("stranger.test", vec![address("127.0.0.3")]),
        ("alias-elsewhere.test", vec![Record::Alias("elsewhere.test".to_owned())]),
        ("private.test", vec![address("10.0.0.1")]),
    ] {
        world.names.put(name, &records);
    }
    let wrong = [
        "elsewhere.test",
        "one-elsewhere.test",
        "v6-elsewhere.test",
        "nobody.test",
        "other-ca.test",
        "unknown-critical.test",
        "stranger.test",
        "alias-elsewhere.test",
        "private.test",
        "without-records.test",
    ]
    .map(str::to_owned);
    cluster.start();
    cluster.register(&wrong).await;
    let failures = || async {
        let listed =
            "select hostname, failure::text from certificate_leases where hostname = any($1) and failure is not null";
        let rows: Vec<(String, String)> = sqlx::query_as(listed)
            .bind(wrong.as_slice())
            .fetch_all(&pool)
            .await
            .unwrap();
        rows
    };
    within(60, "it is written down of each what is wrong", || async {
        failures().await.len() == wrong.len()
    })
    .await;
    for (name, failure) in failures().await {
        eprintln!("{name}: {failure}");
    }
    // One that is ready, after them all: the CA is asked for it, and for it alone.
    let right = ["right.test".to_owned()];
    world.names.put_here(&right);
    cluster.register(&right).await;
    shown(cluster.https(), &right, 30).await;
    let strangers: Vec<_> = proxy
        .requests()
        .into_iter()
        .filter_map(|record| record.hostname)
        .collect();
    assert!(!strangers.iter().any(|name| wrong.contains(name)), "{strangers:?}");
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
    let mut ours = Cluster::new(&production, &pool, &real_proxy.directory(), 1);
    let mut theirs = ours.beside(&staging, &pool, &trial_proxy.directory(), 1);
    let names = ["both.test".to_owned()];
    production.names.put_here(&names);
    staging.names.put_here(&names);

    // The CA of production is away: nothing may stand in for it.
    real_proxy.refuse();
    ours.start();
    theirs.start();
    theirs.register(&names).await;
    let [ours, theirs] = [ours.https()[0], theirs.https()[0]];
    shown(vec![theirs], &names, 30).await;
    assert!(leaf(ours, "both.test").await.is_none() && leaf(ours, PORTAL).await.is_none());

    real_proxy.accept();
    let later = "update certificate_leases set due_at = now()";
    sqlx::query(later).execute(&pool).await.unwrap();
    sqlx::query("update acme_accounts set paused_until = null")
        .execute(&pool)
        .await
        .unwrap();
    shown(vec![ours], &names, 40).await;
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
