//! Several `signpost serve` on one database, with one secret key, behind one load balancer, and the CA that they ask.
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustix::process::Signal;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpStream;
use tokio_rustls::{client::TlsStream, rustls};

use super::{balancer::Balancer, names::Names, rig};
use crate::{
    app::{Msp, TENANT},
    binary::{Machine, Serving},
    faults::pki::Pki,
    process::{TestDir, free_port},
    tls,
};

pub const PORTAL: &str = "portal.signpost.test";
pub const EDGE: &str = "edge.signpost.test";

/// What all nodes of a test share but the database: the world outside.
pub struct World {
    pub pki: Pki,
    pub names: Names,
    pub balancer: Balancer,
}

/// Nodes, by their place in a list that is never shortened: a node that was killed may be started again.
pub struct Cluster {
    machines: Vec<Machine>,
    pub nodes: Vec<Option<Serving>>,
    organisation: Value,
    /// The secret key that all share.
    keys: Arc<TestDir>,
}

impl World {
    /// Our own hosts are known to the name server.
    pub fn new() -> Self {
        let names = Names::start();
        names.put_here(&[PORTAL.to_owned(), EDGE.to_owned()]);
        Self {
            pki: Pki::new(),
            names,
            balancer: Balancer::start(),
        }
    }
}

impl Cluster {
    /// With this many nodes, none of them started, which are to ask this CA.
    pub fn new(world: &World, pool: &PgPool, directory: &str, nodes: usize) -> Self {
        let mut cluster = Self::with_keys(world, pool, directory, nodes, Arc::new(TestDir::new()));
        cluster.organisation = cluster.machines[0].create_organisation("Acme IT");
        cluster
    }

    /// More nodes on the same database, in another world and with another CA.
    pub fn beside(&self, world: &World, pool: &PgPool, directory: &str, nodes: usize) -> Self {
        let mut cluster = Self::with_keys(world, pool, directory, nodes, self.keys.clone());
        cluster.organisation = self.organisation.clone();
        cluster
    }

    fn with_keys(world: &World, pool: &PgPool, directory: &str, nodes: usize, keys: Arc<TestDir>) -> Self {
        let key_file = keys.path().join("secret.key");
        let machine = |_| {
            let mut machine = Machine::new(pool);
            let (http, https) = (world.balancer.http, world.balancer.https);
            for (name, value) in [
                ("SIGNPOST_SECRET_KEY_FILE", key_file.to_str().unwrap()),
                ("SIGNPOST_CERTIFICATES", "acme"),
                ("SIGNPOST_ACME_DIRECTORY", directory),
                ("SIGNPOST_ACME_CA_FILE", world.pki.root().to_str().unwrap()),
                ("SIGNPOST_PUBLIC_HTTP_PORT", &http.to_string()),
                ("SIGNPOST_PUBLIC_HTTPS_PORT", &https.to_string()),
                ("SIGNPOST_EDGE_ADDRESSES", "127.0.0.1"),
                ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
                ("SIGNPOST_DNS_SERVERS", &world.names.address()),
                // Nobody outside is asked.
                ("SIGNPOST_ENTRA_URLS", "global=http://127.0.0.1:9"),
            ] {
                machine.set(name, value);
            }
            // The same ports also after it was started again: those that the balancer knows.
            let ports = ["SIGNPOST_HTTP_ADDR", "SIGNPOST_HTTPS_ADDR", "SIGNPOST_OPS_ADDR"].map(|name| {
                let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
                machine.set(name, &address.to_string());
                address
            });
            world.balancer.add(ports[0], ports[1], ports[2]);
            machine
        };
        let machines: Vec<_> = (0..nodes).map(machine).collect();
        Self {
            nodes: machines.iter().map(|_| None).collect(),
            machines,
            organisation: Value::Null,
            keys,
        }
    }

    /// Before it is started: one more setting of every node.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.machines.iter_mut().for_each(|machine| machine.set(name, value));
        self
    }

    /// Starts those that do not run, together.
    pub fn start(&mut self) {
        let all: Vec<_> = (0..self.machines.len()).collect();
        self.start_these(&all);
    }

    pub fn start_these(&mut self, which: &[usize]) {
        let started: Vec<_> = std::thread::scope(|scope| {
            let is_down = |node: &usize| self.nodes[*node].is_none();
            let start = |node: usize| {
                let machine = &self.machines[node];
                (node, scope.spawn(move || machine.serve(&[])))
            };
            let started: Vec<_> = which.iter().copied().filter(is_down).map(start).collect();
            started
                .into_iter()
                .map(|(node, started)| (node, started.join().unwrap()))
                .collect()
        });
        for (node, serving) in started {
            self.nodes[node] = Some(serving);
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().unwrap().kill();
    }

    /// Tells a node to stop, and waits for its end.
    pub fn stop(&mut self, node: usize) {
        let serving = self.nodes[node].take().unwrap();
        serving.signal(Signal::TERM);
        assert!(serving.terminate().0.success());
    }

    pub fn running(&self) -> impl Iterator<Item = &Serving> {
        self.nodes.iter().flatten()
    }

    pub fn https(&self) -> Vec<SocketAddr> {
        self.running().map(|node| node.https).collect()
    }

    /// The organisation that the domains belong to, at the first node that runs, once its portal has a certificate.
    pub async fn msp(&self) -> Msp {
        let https = self.https()[0];
        shown(vec![https], &[PORTAL.to_owned()], 60).await;
        let organisation_id = self.organisation["organisation_id"].as_str().unwrap().parse().unwrap();
        Msp::over_tls(https, organisation_id, self.organisation["token"].as_str().unwrap())
    }

    /// Registers domains and takes the operator's word for them; nothing is said in the name server.
    pub async fn register(&self, hostnames: &[String]) {
        let row = |hostname: &String| {
            let server = json!({"vendor": "intune", "parameters": {"tenant_id": TENANT, "cloud": "global"}});
            json!({"hostname": hostname, "client_name": "Contoso", "server": server})
        };
        let rows: Vec<_> = hostnames.iter().map(row).collect();
        let answer = self
            .msp()
            .await
            .post("/domains/import", json!({"dry_run": false, "rows": rows}))
            .await;
        assert!(answer.status < 300, "{}", answer.text);
        let verify = ["domain", "verify", "-"];
        self.machines[0].run_with(&verify, &hostnames.join("\n")).succeeded();
    }

    /// Everything that the nodes have printed.
    pub fn said(&self) -> Vec<String> {
        self.running().flat_map(|node| node.output.lines()).collect()
    }

    pub fn key_file(&self) -> PathBuf {
        self.keys.path().join("secret.key")
    }

    pub fn state_dirs(&self) -> Vec<PathBuf> {
        self.machines.iter().map(Machine::state_dir).collect()
    }
}

/// A test that fails tells what the nodes complained about.
impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let lines = node.iter().flat_map(|node| node.output.lines());
            let complaints: Vec<_> = lines.filter(|line| !line.contains(r#""level":"INFO""#)).collect();
            for line in complaints.iter().rev().take(60).rev() {
                eprintln!("node {number}: {line}");
            }
        }
    }
}

/// A connection for `hostname`, whoever signed its certificate.
pub async fn connect(address: SocketAddr, hostname: &str) -> std::io::Result<TlsStream<TcpStream>> {
    tls::handshake(address, hostname, anybody()).await
}

/// The certificate that a server shows for `hostname`; nothing if it refuses the handshake.
pub async fn leaf(address: SocketAddr, hostname: &str) -> Option<CertificateDer<'static>> {
    let stream = connect(address, hostname).await.ok()?;
    let chain = stream.get_ref().1.peer_certificates()?;
    Some(chain[0].clone().into_owned())
}

/// Waits until each of the servers shows a certificate for each of these, and returns how long that took.
#[track_caller]
pub fn shown(servers: Vec<SocketAddr>, hostnames: &[String], seconds: u64) -> impl Future<Output = Duration> {
    let pairs = hostnames
        .iter()
        .flat_map(|hostname| servers.iter().map(|server| (*server, hostname.clone())));
    let left = Arc::new(tokio::sync::Mutex::new(pairs.collect::<Vec<_>>()));
    rig::within(seconds, "every certificate is shown by every node", move || {
        let left = left.clone();
        async move {
            let mut left = left.lock().await;
            while let Some((server, hostname)) = left.last() {
                if leaf(*server, hostname).await.is_none() {
                    break;
                }
                left.pop();
            }
            left.is_empty()
        }
    })
}

/// `contoso-000.test`, `contoso-001.test`, …
pub fn hostnames(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:03}.test")).collect()
}

fn anybody() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Anybody(provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

/// Looks at no issuer; the key must be the certificate's.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
