//! Every domain gets its certificate, once, and every node shows it.
use sqlx::PgPool;
use tokio_rustls::rustls::RootCertStore;

use super::{
    ca_proxy::CaProxy,
    cluster::{Cluster, EDGE, PORTAL, World, hostnames, leaf, shown},
    pebble::{Options, Pebble},
};
use crate::tls;

/// Three nodes that start together on an empty database, and this many domains that are theirs at once.
async fn assert_each_is_ordered_once(pool: &PgPool, count: usize, challenge: &str) {
    let world = World::new();
    let public = world.balancer.public();
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::default());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let cluster = Cluster::new(&world, pool, &proxy.directory(), 3);
    let mut cluster = cluster.set("SIGNPOST_ACME_CHALLENGE", challenge);
    let mut names = hostnames("contoso", count);
    world.names.put_here(&names);
    cluster.start();
    cluster.register(&names).await;
    names.extend([EDGE.to_owned(), PORTAL.to_owned()]);
    shown(cluster.https(), &names, 100).await;

    names.sort();
    let mut orders = proxy.orders();
    orders.sort();
    assert_eq!(orders, names, "one order for each");
    assert_eq!(proxy.accounts(), 1);
    let stored: Vec<(String, String)> =
        sqlx::query_as("select hostname, coalesce(outcome, 'open') from acme_orders order by hostname")
            .fetch_all(pool)
            .await
            .unwrap();
    let issued: Vec<_> = names.iter().map(|name| (name.clone(), "issued".to_owned())).collect();
    assert_eq!(stored, issued);

    let mut roots = RootCertStore::empty();
    roots.add(pebble.issuer_root().await).unwrap();
    for name in &names {
        let nodes = cluster.https();
        let first = leaf(nodes[0], name).await;
        for node in nodes {
            assert_eq!(leaf(node, name).await, first, "every node shows the same: {name}");
        }
    }
    for (node, name) in cluster.https().into_iter().zip([&names[0], PORTAL, EDGE]) {
        let trusting = tls::trusting(&roots, tls::BOTH);
        tls::handshake(node, name, trusting).await.unwrap();
    }
}

#[sqlx::test]
async fn two_hundred_domains_on_three_nodes_are_ordered_once_each_and_shown_by_all(pool: PgPool) {
    assert_each_is_ordered_once(&pool, 200, "http-01").await;
}

#[sqlx::test]
async fn the_same_is_so_when_the_ca_looks_at_a_handshake(pool: PgPool) {
    assert_each_is_ordered_once(&pool, 30, "tls-alpn-01").await;
}

#[sqlx::test]
async fn a_ca_that_serves_its_customers_only_is_told_whose_account_it_is(pool: PgPool) {
    let world = World::new();
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = Options {
        external_account: Some(("kid-1".to_owned(), key.to_owned())),
        ..Options::fast()
    };
    let pebble = Pebble::start(&world.pki, &world.names.address(), world.balancer.public(), options);
    let cluster = Cluster::new(&world, &pool, &pebble.directory(), 1);
    let cluster = cluster.set("SIGNPOST_ACME_EAB_KEY_ID", "kid-1");
    let mut cluster = cluster.set("SIGNPOST_ACME_EAB_KEY", key);
    cluster.start();
    shown(cluster.https(), &[PORTAL.to_owned()], 30).await;
}
