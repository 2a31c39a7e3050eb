//! The bench proved without us: Caddy obtains certificates from Pebble, through everything that our own tests stand on.
use std::{fmt::Write, net::SocketAddr, process::Command};

use crate::process::{Process, TestDir, free_port};

use super::{
    ca_proxy::{Answer, CaProxy, Kind, Trouble, Where},
    cluster::{World, hostnames, leaf},
    pebble::{Options, Pebble, Validates},
    rig::within,
};

struct Caddy {
    https: SocketAddr,
    _process: Process,
    _dir: TestDir,
}

impl Caddy {
    fn start(world: &World, ca: &str, ports: Validates, hostnames: &[String]) -> Self {
        let dir = TestDir::new();
        let root = world.pki.root();
        let mut config = format!(
            "{{\nadmin off\nhttp_port {}\nhttps_port {}\nacme_ca {ca}\nacme_ca_root {}\ncert_issuer acme\n}}\n",
            ports.http,
            ports.https,
            root.display(),
        );
        for hostname in hostnames {
            writeln!(config, "{hostname} {{\nrespond ok\n}}").unwrap();
        }
        let config = dir.write("Caddyfile", config);
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, dir.path());
        }
        Self {
            https: SocketAddr::from(([127, 0, 0, 1], ports.https)),
            _process: Process::start(&mut command, dir.path().join("log")),
            _dir: dir,
        }
    }

    async fn shows(&self, hostname: &str) -> bool {
        leaf(self.https, hostname).await.is_some()
    }
}

#[tokio::test]
async fn the_bench_holds_refuses_and_counts_what_a_stranger_asks_of_the_ca() {
    let world = World::new();
    let names = hostnames("stranger", 3);
    world.names.put_here(&names);
    let ports = Validates {
        http: free_port(),
        https: free_port(),
    };
    let mut pebble = Pebble::start(&world.pki, &world.names.address(), ports, Options::fast());
    let proxy = CaProxy::start(&world.pki, pebble.port());
    let before = proxy.inject(Where::at(Kind::NewOrder).of(&names[1]), Trouble::HoldBefore, 1);
    let after = proxy.inject(Where::at(Kind::Finalize).of(&names[2]), Trouble::HoldAfter, 1);
    let caddy = Caddy::start(&world, &proxy.directory(), ports, &names);

    within(30, "the one that nobody troubles", || caddy.shows(&names[0])).await;
    before.wait_until_held().await;
    after.wait_until_held().await;
    assert!(!caddy.shows(&names[1]).await && !caddy.shows(&names[2]).await);
    let orders = proxy.orders();
    assert!(!orders.contains(&names[1]) && orders.contains(&names[2]), "{orders:?}");
    before.release();
    after.release();
    for name in &names {
        within(30, "the others, once they are let go", || caddy.shows(name)).await;
    }
    let mut orders = proxy.orders();
    orders.sort();
    assert_eq!(orders, names);
    assert!(proxy.accounts() > 0);
    assert!(proxy.count(Kind::Certificate) >= 3 && proxy.count(Kind::Poll) >= 3);
    assert!(world.names.asked(&names[0]) > 0);
    drop(pebble.issuer_root().await);

    let root = reqwest::Certificate::from_pem(&std::fs::read(world.pki.root()).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let ask = || async { client.get(proxy.directory()).send().await };
    let limited = Answer::problem(429, "rateLimited", "too many").with("retry-after", "3");
    proxy.inject(Where::at(Kind::Directory), Trouble::Answer(limited), 1);
    let refused = ask().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    proxy.inject(Where::at(Kind::Directory), Trouble::Endless, 1);
    let mut endless = ask().await.unwrap();
    let mut length = 0;
    while length < 4 << 20 {
        length += endless.chunk().await.unwrap().unwrap().len();
    }
    drop(endless);
    proxy.refuse();
    assert!(ask().await.unwrap_err().is_connect());
    proxy.accept();
    pebble.stop();
    assert!(ask().await.is_err());
    pebble.start_again();
    assert_eq!(ask().await.unwrap().status().as_u16(), 200);
}
