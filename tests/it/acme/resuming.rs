//! A node that dies in the middle of an order leaves it to another, which goes on where it stopped.
use sqlx::PgPool;

use super::{
    ca_proxy::{CaProxy, Injected, Kind, Trouble, Where},
    cluster::{Cluster, EDGE, PORTAL, World, hostnames, shown},
    pebble::{Options, Pebble},
};

/// Before the CA hears of it, and when it has done what was asked and nobody knows.
const MOMENTS: [Trouble; 2] = [Trouble::HoldBefore, Trouble::HoldAfter];

const STEPS: [Kind; 6] = [
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
    // Orders are placed one after the other: the one that is held there comes last.
    let moments: Vec<_> = moments.chain([(Kind::NewOrder, Trouble::HoldBefore)]).collect();
    let names = hostnames("step", moments.len());
    world.names.put_here(&names);
    let inject = |(name, (step, moment)): (&String, &(Kind, Trouble))| {
        proxy.inject(Where::at(*step).of(name), moment.clone(), 1)
    };
    let held: Vec<Injected> = names.iter().zip(&moments).map(inject).collect();
    let (last, others) = names.split_last().unwrap();
    cluster.register(others).await;
    for held in &held[..others.len()] {
        held.wait_until_held().await;
    }
    cluster.register(std::slice::from_ref(last)).await;
    held[others.len()].wait_until_held().await;
    cluster.kill(0);
    // What was under way dies with it: the CA never hears of what was held before it.
    held.iter().for_each(Injected::cut);
    cluster.start_these(&[1]);
    shown(cluster.https(), &names, 75).await;

    let mut orders = proxy.orders();
    orders.retain(|name| names.contains(name));
    orders.sort();
    assert_eq!(orders, names, "no order is placed a second time");
    assert_eq!(proxy.accounts(), 1);
}

#[sqlx::test]
async fn an_account_or_an_order_that_the_killed_node_never_heard_of_is_found_again(pool: PgPool) {
    let mut scenes: Vec<Scene> = Vec::new();
    // One CA each, so that all wait at the same time.
    for (step, moment) in [
        (Kind::NewAccount, Trouble::HoldBefore),
        (Kind::NewAccount, Trouble::HoldAfter),
        (Kind::NewOrder, Trouble::HoldAfter),
    ] {
        let scene = Scene::new(&pool, scenes.first().map(|scene| &scene.cluster), (step, moment));
        scenes.push(scene);
    }
    futures_util::future::join_all(scenes.iter_mut().map(Scene::play)).await;
}

/// A node that is killed in the first moments of a CA's life with us, and one that takes over.
struct Scene {
    cluster: Cluster,
    proxy: CaProxy,
    held: Injected,
    _pebble: Pebble,
    _world: World,
}

impl Scene {
    fn new(pool: &PgPool, beside: Option<&Cluster>, (step, moment): (Kind, Trouble)) -> Self {
        let world = World::new();
        let public = world.balancer.public();
        let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
        let proxy = CaProxy::start(&world.pki, pebble.port());
        let directory = proxy.directory();
        Self {
            held: proxy.inject(Where::at(step), moment, 1),
            cluster: match beside {
                None => Cluster::new(&world, pool, &directory, 2),
                Some(other) => other.beside(&world, pool, &directory, 2),
            },
            proxy,
            _pebble: pebble,
            _world: world,
        }
    }

    async fn play(&mut self) {
        self.cluster.start_these(&[0]);
        self.held.wait_until_held().await;
        self.cluster.kill(0);
        self.held.cut();
        self.cluster.start_these(&[1]);
        let own = [PORTAL, EDGE].map(str::to_owned);
        shown(self.cluster.https(), &own, 75).await;
        assert_eq!((self.proxy.accounts(), self.proxy.orders().len()), (1, own.len()));
    }
}
