//! What a node really serves: looked at from outside, and told.
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use chrono::{DateTime, TimeDelta, Utc};
use signpost::{
    certificates::{
        Issued, Stored,
        internal::InternalCa,
        key_context,
        resolver::{Resolver, server_config},
        served::{Looker, Names, Public, Served, State, store, watch::Watch},
    },
    outbound::Outbound,
    sealed::Keyring,
};
use sqlx::PgPool;
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::{TestApp, eventually};

/// A node's looks, beside a listener that a test fills as it likes.
struct Bench {
    pool: PgPool,
    keyring: Keyring,
    ca: InternalCa,
    resolver: Arc<Resolver>,
    served: Arc<Served>,
    is_open: Arc<AtomicBool>,
    node_id: Uuid,
    cancel: CancellationToken,
    state_dir: std::path::PathBuf,
}

impl Bench {
    async fn new(pool: PgPool) -> Self {
        let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", Uuid::now_v7()));
        std::fs::create_dir(&state_dir).unwrap();
        let keyring = Keyring::create(&state_dir.join("secret.key")).unwrap();
        let node_id = Uuid::now_v7();
        signpost::certificates::nodes::store::beat(&mut pool.acquire().await.unwrap(), node_id, "internal")
            .await
            .unwrap();
        Self {
            ca: InternalCa::open(&state_dir, &keyring, now()).unwrap(),
            keyring,
            pool,
            resolver: Arc::default(),
            served: Arc::default(),
            is_open: Arc::new(AtomicBool::new(true)),
            node_id,
            cancel: CancellationToken::new(),
            state_dir,
        }
    }

    fn names(&self) -> Names {
        Names {
            issuer: self.ca.name().to_owned(),
            own_hosts: ["a.test", "b.test", "c.test", "left.test"].map(str::to_owned).to_vec(),
        }
    }

    /// Listens with what the resolver holds.
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(self.resolver.clone()).unwrap()));
        let serve = async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(tcp).await {
                    stream.read_to_end(&mut Vec::new()).await.ok();
                }
            }
        };
        self.spawn(serve);
        address
    }

    fn look_at(&self, listener: SocketAddr) {
        let watch = Watch::new(self.looker(), listener, self.served.clone(), None);
        self.spawn(watch.run(self.cancel.clone()));
    }

    fn looker(&self) -> Looker {
        Looker::new(self.pool.clone(), self.names(), self.node_id, self.is_open.clone()).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = task => {}
            }
        });
    }

    fn issue(&self, hostname: &str, at: DateTime<Utc>) -> Issued {
        self.ca.issue(hostname, crate::clock::assume(at)).unwrap()
    }

    fn serve(&self, hostname: &str, issued: &Issued) {
        let stored = Stored {
            chain: issued.chain.clone(),
            key_sealed: self.keyring.seal(&key_context(hostname, self.ca.name()), &issued.key),
            not_after: issued.not_after.timestamp(),
        };
        self.resolver
            .put_own(&self.keyring, self.ca.name(), hostname, stored)
            .unwrap();
    }

    async fn store(&self, hostname: &str, issued: &Issued, seconds_ago: f64) {
        let sql =
            "insert into certificates (certificate_id, hostname, issuer, chain, key_sealed, not_before, not_after,
                                             renews_at, created_at)
                   values ($1, $2, $3, $4, '', $5, $6, $6, now() - make_interval(secs => $7))
                   on conflict (hostname, issuer) do update
                      set certificate_id = excluded.certificate_id, chain = excluded.chain,
                          not_after = excluded.not_after, created_at = excluded.created_at";
        sqlx::query(sql)
            .bind(Uuid::now_v7())
            .bind(hostname)
            .bind(self.ca.name())
            .bind(&issued.chain)
            .bind(issued.not_before)
            .bind(issued.not_after)
            .bind(seconds_ago)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    fn counts(&self) -> [u64; 5] {
        let counts = self.served.counts();
        State::ALL.map(|state| counts.of(state))
    }

    /// What the table says of `hostname`, once it does.
    async fn told(&self, hostname: &str, state: &str) -> store::Sight {
        eventually(|| async { self.sights(hostname).await.iter().any(|sight| sight.state == state) }).await;
        self.sights(hostname).await.remove(0)
    }

    async fn sights(&self, hostname: &str) -> Vec<store::Sight> {
        store::list(&mut self.pool.acquire().await.unwrap(), hostname)
            .await
            .unwrap()
    }

    fn end(self) {
        self.cancel.cancel();
        std::fs::remove_dir_all(&self.state_dir).unwrap();
    }
}

fn now() -> DateTime<Utc> {
    crate::clock::now()
}

#[sqlx::test]
async fn what_memory_holds_is_not_what_counts_but_what_a_handshake_shows(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let (old, new) = (bench.issue("a.test", now()), bench.issue("a.test", now()));
    let over = bench.issue("b.test", now() - TimeDelta::days(100));
    let unserved = bench.issue("c.test", now());
    bench.serve("a.test", &old);
    bench.serve("b.test", &over);
    // Stored long enough ago to be served everywhere.
    bench.store("a.test", &new, 3600.0).await;
    bench.store("b.test", &over, 3600.0).await;
    bench.store("c.test", &unserved, 3600.0).await;
    // Of what has ended, only what is to be renewed is missed.
    bench.store("left.test", &over, 3600.0).await;
    let sql = "insert into certificate_leases (hostname, issuer) values ('b.test', $1)";
    let lease = sqlx::query(sql).bind(bench.ca.name());
    lease.execute(&bench.pool).await.unwrap();
    bench.look_at(bench.listen().await);
    eventually(|| async { bench.counts() == [0, 1, 1, 1, 0] }).await;
    assert_eq!(
        bench.served.counts().soonest_not_after.map(|at| at.timestamp()),
        Some(over.not_after.timestamp())
    );
    let outdated = bench.told("a.test", "outdated").await;
    assert_eq!(
        (
            outdated.node_id,
            outdated.address.as_str(),
            outdated.not_after.map(|at| at.timestamp())
        ),
        (bench.node_id, "", Some(old.not_after.timestamp()))
    );
    assert_eq!(
        bench
            .told("b.test", "expired")
            .await
            .fingerprint
            .map(|bytes| bytes.len()),
        Some(32)
    );
    let none = bench.told("c.test", "none").await;
    assert_eq!((none.fingerprint, none.not_after), (None, None));

    // Renewed and served, each is soon seen to be current.
    for (hostname, issued) in [("a.test", &new), ("c.test", &unserved)] {
        bench.serve(hostname, issued);
        bench.store(hostname, issued, 0.0).await;
    }
    let renewed = bench.issue("b.test", now());
    bench.serve("b.test", &renewed);
    bench.store("b.test", &renewed, 0.0).await;
    eventually(|| async { bench.counts() == [3, 0, 0, 0, 0] }).await;
    bench.told("b.test", "current").await;
    bench.end();
}

#[sqlx::test]
async fn a_certificate_on_its_way_is_no_trouble_yet(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let (old, new) = (bench.issue("a.test", now()), bench.issue("a.test", now()));
    bench.serve("a.test", &old);
    bench.serve("b.test", &bench.issue("b.test", now()));
    bench.store("a.test", &new, 6.0).await;
    bench.store("b.test", &bench.issue("b.test", now()), 3600.0).await;
    bench.look_at(bench.listen().await);
    eventually(|| async { bench.counts() == [0, 1, 0, 0, 0] }).await;
    assert!(bench.sights("a.test").await.is_empty());
    eventually(|| async { bench.counts() == [0, 2, 0, 0, 0] }).await;
    bench.end();
}

#[sqlx::test]
async fn a_listener_that_is_gone_is_unreachable_unless_the_node_stops(pool: PgPool) {
    let bench = Bench::new(pool).await;
    bench.store("a.test", &bench.issue("a.test", now()), 3600.0).await;
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let stopping = Served::default();
    let (stopping, is_open) = (Arc::new(stopping), Arc::new(AtomicBool::new(false)));
    let looker = Looker::new(bench.pool.clone(), bench.names(), Uuid::now_v7(), is_open).unwrap();
    bench.spawn(Watch::new(looker, nobody, stopping.clone(), None).run(bench.cancel.clone()));
    bench.look_at(nobody);
    eventually(|| async { bench.counts() == [0, 0, 0, 0, 1] }).await;
    bench.told("a.test", "unreachable").await;
    assert_eq!(stopping.counts().of(State::Unreachable), 0);
    bench.end();
}

#[sqlx::test]
async fn the_public_addresses_are_asked_for_what_was_renewed_if_they_may_be(pool: PgPool) {
    let bench = Bench::new(pool).await;
    let issued = bench.issue("a.test", now());
    bench.store("a.test", &issued, 3600.0).await;
    let address = bench.listen().await;
    let forbidden = Outbound::new(vec![], vec![address.port()]);
    assert!(Public::new(bench.looker(), &[address], &forbidden).is_none());

    let allowed = Outbound::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]);
    let (mut public, _changes) = Public::new(bench.looker(), &[address], &allowed).unwrap();
    let mut db = bench.pool.acquire().await.unwrap();
    let expected = store::find_expected(&mut db, &bench.names(), "a.test")
        .await
        .unwrap()
        .unwrap();
    drop(db);
    public.look(&expected).await;
    let none = bench.told("a.test", "none").await;
    assert_eq!(none.address, address.to_string());
    bench.serve("a.test", &issued);
    public.look(&expected).await;
    bench.told("a.test", "current").await;
    // Of the node's own listener nothing was said.
    assert_eq!(bench.counts(), [0; 5]);
    bench.end();
}

#[sqlx::test]
async fn a_server_looks_at_itself_and_tells_its_metrics_what_it_saw(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let metrics = async || {
        let url = format!("http://{}/metrics", app.ops);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    };
    let shows = async |line: &str| metrics().await.lines().any(|shown| shown == line);
    // The domain, the portal and the edge.
    eventually(|| async { shows(r#"signpost_certificates_served{state="current"} 3"#).await }).await;
    let metrics = metrics().await;
    let soonest = metrics
        .lines()
        .find_map(|line| line.strip_prefix("signpost_certificate_soonest_expiry_seconds "));
    let days = soonest.unwrap().parse::<i64>().unwrap() / 86_400;
    assert!((80..=90).contains(&days), "{days}");

    // The node is not told of a renewal: it goes on with the old certificate, and is seen to.
    let sql = "alter table certificates disable trigger certificates_updated";
    sqlx::query(sql).execute(&app.pool).await.unwrap();
    let keyring = app.running.keyring();
    let ca = InternalCa::open(&app.state_dir, &keyring, now()).unwrap();
    let issued = ca.issue("contoso.com", crate::clock::database_now()).unwrap();
    let sql = "update certificates set certificate_id = $2, chain = $3, key_sealed = $4, created_at = now() - interval '20 seconds'
                where hostname = $1";
    sqlx::query(sql)
        .bind("contoso.com")
        .bind(Uuid::now_v7())
        .bind(&issued.chain)
        .bind(keyring.seal(&key_context("contoso.com", ca.name()), &issued.key))
        .execute(&app.pool)
        .await
        .unwrap();
    eventually(|| async { shows(r#"signpost_certificates_served{state="outdated"} 1"#).await }).await;

    let sql = "alter table certificates enable trigger certificates_updated";
    sqlx::query(sql).execute(&app.pool).await.unwrap();
    let sql = "update certificates set certificate_id = $2, created_at = now() where hostname = $1";
    let touch = sqlx::query(sql).bind("contoso.com").bind(Uuid::now_v7());
    touch.execute(&app.pool).await.unwrap();
    eventually(|| async { shows(r#"signpost_certificates_served{state="current"} 3"#).await }).await;

    // Nobody else's look is a device's.
    let logged: i64 = sqlx::query_scalar("select count(*) from requests")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(logged, 0);
    // A domain that is served no more is looked at no more.
    app.suspend(&msp).await;
    eventually(|| async { !app.running.serves("contoso.com") }).await;
    let touch = sqlx::query(sql).bind("contoso.com").bind(Uuid::now_v7());
    touch.execute(&app.pool).await.unwrap();
    let names = Names {
        issuer: ca.name().to_owned(),
        own_hosts: Vec::new(),
    };
    let mut db = app.pool.acquire().await.unwrap();
    assert!(
        store::find_expected(&mut db, &names, "contoso.com")
            .await
            .unwrap()
            .is_none()
    );
    drop(db);
    app.stop().await;
}
