//! A CA that is away, slow, busy or mad: few attempts, a recovery without a hand, and nobody who is served notices.
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::{
    ca_proxy::{Answer, CaProxy, Kind, Trouble, Where},
    cluster::{Cluster, World, hostnames, shown},
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

    /// For those who wait, it is a day later.
    async fn a_day_passes(&self) {
        for later in [
            "update certificate_leases set due_at = due_at - interval '1 day'",
            "update acme_accounts set paused_until = paused_until - interval '1 day'",
            "update acme_orders set created_at = created_at - interval '1 day', finished_at = finished_at - interval '1 day'",
        ] {
            sqlx::query(later).execute(&self.pool).await.unwrap();
        }
    }
}

#[sqlx::test]
async fn whatever_the_ca_does_few_questions_are_asked_and_it_is_forgiven(pool: PgPool) {
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
        let before = site.proxy.requests().len();
        let injected = site.proxy.inject(Where::everywhere(), trouble, usize::MAX);
        let names = site.register(name).await;
        let failure = site.failure(name).await;
        // Time enough for many attempts.
        site.customers.ask(200).await;
        let attempts = injected.met();
        assert!((1..=12).contains(&attempts), "{name}: {attempts} attempts: {failure}");
        eprintln!(
            "{name}: {attempts} attempts, {} requests: {failure}",
            site.proxy.requests().len() - before
        );
        injected.release();
        site.a_day_passes().await;
        shown(site.cluster.https(), &names, 20).await;
        site.customers.assert_served();
    }
}

#[sqlx::test]
async fn a_ca_that_is_away_or_silent_is_asked_again_later(pool: PgPool) {
    let site = Site::start(pool).await;
    site.proxy.refuse();
    let away = site.register("away.test").await;
    site.failure(&away[0]).await;
    site.customers.ask(100).await;
    site.proxy.accept();
    site.a_day_passes().await;
    shown(site.cluster.https(), &away, 20).await;

    let silent = site.proxy.inject(Where::everywhere(), Trouble::Hang, usize::MAX);
    let names = site.register("silent.test").await;
    site.failure(&names[0]).await;
    assert!(silent.met() <= 6, "{} questions hang", silent.met());
    silent.release();
    site.a_day_passes().await;
    shown(site.cluster.https(), &names, 20).await;
    site.customers.assert_served();
}

#[sqlx::test]
async fn a_ca_that_says_when_is_not_asked_before(pool: PgPool) {
    let site = Site::start(pool).await;
    let pause = Duration::from_secs(6);
    let date = || {
        let until = signpost::clock::now() + pause;
        until.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for (name, status, when) in [("seconds.test", 429, "6".to_owned()), ("date.test", 503, date())] {
        let limited = Answer::problem(status, "rateLimited", "too many orders").with("retry-after", &when);
        let limited = site
            .proxy
            .inject(Where::at(Kind::NewOrder), Trouble::Answer(limited), 1);
        let names = site.register(name).await;
        within(20, "it is limited", || async { limited.met() == 1 }).await;
        let told = Instant::now();
        // Without a hand: nobody moves the clock.
        shown(site.cluster.https(), &names, 100).await;
        let orders = site.proxy.requests().into_iter();
        let next = orders
            .filter(|record| record.kind == Kind::NewOrder && record.at > told)
            .map(|record| record.at);
        let waited = next.min().unwrap() - told;
        // A date has no fractions of a second.
        assert!(
            waited + Duration::from_millis(1_500) > pause,
            "{name}: asked again after {waited:?}"
        );
        eprintln!("{name}: asked again after {waited:?}");
        site.customers.assert_served();
    }
}

#[sqlx::test]
async fn a_ca_that_has_forgotten_us_gets_to_know_us_again(pool: PgPool) {
    let mut site = Site::start(pool).await;
    site.pebble.stop();
    let names = site.register("forgotten.test").await;
    site.failure(&names[0]).await;
    site.pebble.start_again();
    site.a_day_passes().await;
    let took = shown(site.cluster.https(), &names, 40).await;
    eprintln!("known again after {took:?}");
    assert_eq!(site.proxy.accounts(), 2);
    site.customers.assert_served();
}

#[sqlx::test]
async fn an_order_that_the_ca_has_forgotten_is_placed_anew(pool: PgPool) {
    let mut site = Site::start(pool).await;
    let held = site.proxy.inject(Where::at(Kind::Finalize), Trouble::HoldBefore, 1);
    let names = site.register("interrupted.test").await;
    held.wait_until_held().await;
    site.pebble.start_again();
    held.cut();
    site.failure(&names[0]).await;
    site.a_day_passes().await;
    shown(site.cluster.https(), &names, 40).await;
    site.customers.assert_served();
}
