//! A certificate is renewed without anybody noticing, as long as its domain is with us.
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;

use super::{
    ca_proxy::CaProxy,
    cluster::{Cluster, World, hostnames, leaf, shown},
    customers::Customers,
    names::address,
    pebble::{Options, Pebble},
    rig::within,
};

#[sqlx::test]
async fn a_renewed_certificate_is_shown_by_every_node_within_a_second_and_nobody_notices(pool: PgPool) {
    let world = World::new();
    let public = world.balancer.public();
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let mut cluster = Cluster::new(&world, &pool, &pebble.directory(), 3);
    let names = hostnames("renewed", 1);
    world.names.put_here(&names);
    cluster.start();
    cluster.register(&names).await;
    let nodes = cluster.https();
    shown(nodes.clone(), &names, 40).await;
    let customers = Customers::of(&names[0], &nodes);
    for _ in 0..3 {
        customers.ask(30).await;
        let before = leaf(nodes[0], &names[0]).await.unwrap();
        let known = certificate(&pool, &names[0]).await;
        make_due(&pool, &names).await;
        within(30, "it is renewed", || async {
            certificate(&pool, &names[0]).await != known
        })
        .await;
        let began = Instant::now();
        for node in &nodes {
            within(5, "a node shows it", || async {
                leaf(*node, &names[0]).await.unwrap() != before
            })
            .await;
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "every node shows it after {took:?}");
    }
    customers.ask(30).await;
}

#[sqlx::test]
async fn a_domain_that_left_is_not_renewed(pool: PgPool) {
    let world = World::new();
    let public = world.balancer.public();
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let mut cluster = Cluster::new(&world, &pool, &proxy.directory(), 1);
    let names = ["suspended", "deleted", "moved", "redirected", "stays"].map(|name| format!("{name}.test"));
    world.names.put_here(&names);
    cluster.start();
    cluster.register(&names).await;
    shown(cluster.https(), &names, 40).await;

    let msp = cluster.msp().await;
    let suspend = "update domains set suspended_at = now() where hostname = 'suspended.test'";
    sqlx::query(suspend).execute(&pool).await.unwrap();
    assert!(msp.delete("/domains/deleted.test").await.status < 300);
    world.names.put("moved.test", &[address("127.0.0.2")]);
    let redirect = json!({"connection": "redirect"});
    let redirected = msp.patch("/domains/redirected.test", redirect).await;
    assert!(redirected.status < 300, "{}", redirected.text);
    for round in 1..=2 {
        make_due(&pool, &names).await;
        let ordered = || proxy.orders().iter().filter(|name| *name == "stays.test").count();
        let is_renewed = || async { i64::try_from(ordered()).unwrap() > round };
        within(30, "the one that stays is renewed", is_renewed).await;
        let known = "select count(*) from acme_orders where hostname = 'stays.test' and outcome = 'issued'";
        let done = || async { sqlx::query_scalar::<_, i64>(known).fetch_one(&pool).await.unwrap() > round };
        within(30, "and its order is done", done).await;
    }
    let mut orders = proxy.orders();
    orders.retain(|name| names.contains(name) && name != "stays.test");
    orders.sort();
    assert_eq!(
        orders,
        ["deleted.test", "moved.test", "redirected.test", "suspended.test"],
        "once each, before they left"
    );
}

/// As if two thirds of their lives were over; `stays.test` last.
async fn make_due(pool: &PgPool, names: &[String]) {
    for due in [
        "update certificates set renews_at = now() - interval '1 minute' where hostname = any($1)",
        "update certificate_leases set due_at = now() - case when hostname = 'stays.test' then interval '1 minute' else interval '2 minutes' end
          where hostname = any($1)",
    ] {
        sqlx::query(due).bind(names).execute(pool).await.unwrap();
    }
}

async fn certificate(pool: &PgPool, hostname: &str) -> Option<uuid::Uuid> {
    let known = "select certificate_id from certificates where hostname = $1";
    sqlx::query_scalar(known)
        .bind(hostname)
        .fetch_optional(pool)
        .await
        .unwrap()
}
