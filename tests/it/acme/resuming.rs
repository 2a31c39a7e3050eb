//! A node that dies in the middle of an order leaves it to another, which goes on where it stopped.
use sqlx::PgPool;

use super::{
    ca_proxy::{CaProxy, Injected, Kind, Trouble, Where},
    cluster::{Cluster, PORTAL, World, hostnames, shown},
    pebble::{Options, Pebble},
};

/// Before the CA hears of it, and when it has done what was asked and nobody knows.
const MOMENTS: [Trouble; 2] = [Trouble::HoldBefore, Trouble::HoldAfter];

const STEPS: [Kind; 7] = [
    Kind::NewOrder,
    Kind::Authorization,
    Kind::Challenge,
    Kind::Poll,
    Kind::Finalize,
    Kind::Order,
    Kind::Certificate,
];

#[sqlx::test]
async fn whoever_takes_over_finishes_each_order_from_where_the_killed_node_left_it(pool: PgPool) {
    let world = World::new();
    let public = world.balancer.public();
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let mut cluster = Cluster::new(&world, &pool, &proxy.directory(), 2);
    cluster.start_these(&[0]);
    // The account and our own certificates, so that what follows is the steps of an order.
    shown(cluster.https(), &[PORTAL.to_owned()], 30).await;

    let moments = STEPS.iter().flat_map(|step| MOMENTS.map(|moment| (*step, moment)));
    let moments: Vec<_> = moments.collect();
    let names = hostnames("step", moments.len());
    world.names.put_here(&names);
    let inject = |(name, (step, moment)): (&String, &(Kind, Trouble))| {
        proxy.inject(Where::at(*step).of(name), moment.clone(), 1)
    };
    let held: Vec<Injected> = names.iter().zip(&moments).map(inject).collect();
    cluster.register(&names).await;
    for held in &held {
        held.wait_until_held().await;
    }
    cluster.kill(0);
    // What was under way dies with it: the CA never hears of what was held before it.
    held.iter().for_each(Injected::cut);
    cluster.start_these(&[1]);
    let took = shown(cluster.https(), &names, 75).await;
    eprintln!("finished by another after {took:?}");

    let mut orders = proxy.orders();
    orders.retain(|name| names.contains(name));
    orders.sort();
    assert_eq!(orders, names, "no order is placed a second time");
    assert_eq!(proxy.accounts(), 1);
}

/// A node is killed while it asks for the account; another goes on.
async fn assert_one_account(pool: &PgPool, moment: Trouble) {
    let world = World::new();
    let public = world.balancer.public();
    let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let mut cluster = Cluster::new(&world, pool, &proxy.directory(), 2);
    let held = proxy.inject(Where::at(Kind::NewAccount), moment, 1);
    cluster.start_these(&[0]);
    held.wait_until_held().await;
    cluster.kill(0);
    held.cut();
    cluster.start_these(&[1]);
    shown(cluster.https(), &[PORTAL.to_owned()], 75).await;
    assert_eq!(proxy.accounts(), 1);
}

#[sqlx::test]
async fn a_node_killed_before_the_account_is_made_leaves_it_to_another(pool: PgPool) {
    assert_one_account(&pool, Trouble::HoldBefore).await;
}

#[sqlx::test]
async fn an_account_that_the_killed_node_never_heard_of_is_found_again(pool: PgPool) {
    assert_one_account(&pool, Trouble::HoldAfter).await;
}
