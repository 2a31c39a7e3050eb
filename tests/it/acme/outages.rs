//! A CA that is away, slow, busy or mad: few attempts, a recovery without a hand, and nobody who is served notices.
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::{
    ca_proxy::{Answer, CaProxy, Kind, Trouble, Where},
    cluster::{Cluster, World, hostnames, leaf, shown},
    customers::Customers,
    pebble::{Options, Pebble},
    rig::within,
};

/// One node with a domain that has its certificate, whose customers ask all the time.
struct Site {
    world: World,
    pebble: Pebble,
    proxy: CaProxy,
    cluster: Cluster,
    customers: Customers,
    pool: PgPool,
}

impl Site {
    async fn start(pool: PgPool) -> Self {
        let world = World::new();
        let public = world.balancer.public();
        let pebble = Pebble::start(&world.pki, &world.names.address(), public, Options::fast());
        let proxy = CaProxy::start(&world.pki, pebble.port());
        let mut cluster = Cluster::new(&world, &pool, &proxy.directory(), 1);
        cluster.start();
        let served = hostnames("served", 1);
        world.names.put_here(&served);
        cluster.register(&served).await;
        let nodes = cluster.https();
        shown(nodes.clone(), &served, 30).await;
        let customers = Customers::of(&served[0], &nodes);
        Self {
            world,
            pebble,
            proxy,
            cluster,
            customers,
            pool,
        }
    }

    /// A domain that waits for its certificate from now on.
    async fn register(&self, name: &str) -> Vec<String> {
        let names = vec![name.to_owned()];
        self.world.names.put_here(&names);
        self.cluster.register(&names).await;
        names
    }

    /// Waits until it is written down why a domain has no certificate.
    async fn failure(&self, hostname: &str) -> String {
        let asked = || async {
            let failure = "select failure::text from certificate_leases where hostname = $1";
            let found: Option<Option<String>> = sqlx::query_scalar(failure)
                .bind(hostname)
                .fetch_optional(&self.pool)
                .await
                .unwrap();
            found.flatten()
        };
        within(60, "a failure is written down", || async { asked().await.is_some() }).await;
        asked().await.unwrap()
    }

    /// Days pass for those who wait, until they have their certificates.
    async fn recovers(&self, names: &[String]) {
        let node = self.cluster.https();
        within(40, "it is obtained in the end", || async {
            for later in [
                "update certificate_leases set due_at = due_at - interval '1 day' where failure is not null",
                "update acme_accounts set paused_until = paused_until - interval '1 day'",
            ] {
                sqlx::query(later).execute(&self.pool).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            leaf(node[0], &names[0]).await.is_some()
        })
        .await;
        self.customers.assert_served();
    }
}

#[sqlx::test]
async fn whatever_a_ca_answers_few_questions_are_asked_and_it_is_forgiven(pool: PgPool) {
    let site = Site::start(pool).await;
    let plain = |status, body| Trouble::Answer(Answer::plain(status, body));
    let problem = Answer::problem(500, "serverInternal", "something broke");
    for (name, trouble) in [
        ("broken.test", Trouble::Answer(problem)),
        ("html.test", plain(503, "<html>Service Unavailable</html>")),
        ("malformed.test", plain(200, "{\"status\": \"val")),
        ("empty.test", plain(200, "")),
        ("endless.test", Trouble::Endless),
        ("cut.test", Trouble::Cut),
    ] {
        let injected = site.proxy.inject(Where::everywhere(), trouble, usize::MAX);
        let names = site.register(name).await;
        let failure = site.failure(name).await;
        // Time enough for many attempts.
        site.customers.ask(100).await;
        let attempts = injected.met();
        assert!((1..=12).contains(&attempts), "{name}: {attempts} attempts: {failure}");
        injected.release();
        site.recovers(&names).await;
    }
}

#[sqlx::test]
async fn a_ca_that_is_away_or_silent_is_asked_again_later(pool: PgPool) {
    let site = Site::start(pool).await;
    site.proxy.refuse();
    let names = site.register("away.test").await;
    site.failure(&names[0]).await;
    site.customers.ask(100).await;
    site.proxy.accept();
    site.recovers(&names).await;

    let silent = site.proxy.inject(Where::everywhere(), Trouble::Hang, usize::MAX);
    let names = site.register("silent.test").await;
    site.failure(&names[0]).await;
    assert!(silent.met() <= 6, "{} questions hang", silent.met());
    silent.release();
    site.recovers(&names).await;
}

#[sqlx::test]
async fn a_ca_that_says_when_is_not_asked_before(pool: PgPool) {
    let site = Site::start(pool).await;
    let limited = Answer::problem(429, "rateLimited", "too many orders").with("retry-after", "6");
    let limited = site
        .proxy
        .inject(Where::at(Kind::NewOrder), Trouble::Answer(limited), 1);
    let names = site.register("limited.test").await;
    within(20, "it is limited", || async { limited.met() == 1 }).await;
    let told = Instant::now();
    // Nobody moves the clock.
    shown(site.cluster.https(), &names, 60).await;
    let requests = site.proxy.requests().into_iter();
    let later = requests.filter(|record| record.kind == Kind::NewOrder && record.at > told);
    let waited = later.map(|record| record.at).min().unwrap() - told;
    assert!(waited > Duration::from_secs(6), "asked again after {waited:?}");
    site.customers.assert_served();
}

#[sqlx::test]
async fn a_ca_that_has_forgotten_us_and_our_orders_gets_to_know_us_again(pool: PgPool) {
    let mut site = Site::start(pool).await;
    let held = site.proxy.inject(Where::at(Kind::Finalize), Trouble::HoldBefore, 1);
    let interrupted = site.register("interrupted.test").await;
    held.wait_until_held().await;
    // It keeps nothing.
    site.pebble.start_again();
    held.cut();
    site.failure(&interrupted[0]).await;
    site.recovers(&interrupted).await;
    assert_eq!(site.proxy.accounts(), 2);
    let after = site.register("after.test").await;
    shown(site.cluster.https(), &after, 20).await;
    site.customers.assert_served();
}
