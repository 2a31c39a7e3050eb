//! Pebble, Let's Encrypt's CA for tests, as hostile as it comes: it refuses one nonce in twenty, waits a random time
//! before it validates, and uses an authorization again in one of two cases.
use std::{net::TcpStream, process::Command, time::Duration};

use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    faults::pki::{Kind, Pki},
    process::{Process, TestDir, free_port},
};

/// The ports at which the CA looks for the answers to its challenges.
#[derive(Clone, Copy, Debug)]
pub struct Validates {
    pub http: u16,
    pub https: u16,
}

/// How it is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Without the waits of up to five seconds before each look.
    pub fast: bool,
    /// Key id and base64url key of the account that it knows already; nobody else gets one.
    pub external_account: Option<(String, String)>,
    /// More of its environment.
    pub environment: Vec<(&'static str, String)>,
}

pub struct Pebble {
    port: u16,
    management: u16,
    root: reqwest::Certificate,
    command: Launch,
    process: Option<Process>,
    starts: usize,
}

struct Launch {
    dir: TestDir,
    names: String,
    environment: Vec<(&'static str, String)>,
}

impl Options {
    pub fn fast() -> Self {
        Self {
            fast: true,
            ..Self::default()
        }
    }
}

impl Pebble {
    /// `names` is the name server that it asks.
    pub fn start(pki: &Pki, names: &str, validates: Validates, options: Options) -> Self {
        for _ in 0..10 {
            let (port, management) = (free_port(), free_port());
            let mut pebble = Self::prepare(pki, names, validates, options.clone(), (port, management));
            if pebble.try_start() {
                return pebble;
            }
        }
        panic!("Pebble finds no free port");
    }

    fn prepare(pki: &Pki, names: &str, validates: Validates, options: Options, ports: (u16, u16)) -> Self {
        let dir = TestDir::new();
        let certificate = pki.issue(&["localhost"], Kind::Good);
        let keys = options.external_account.iter();
        let keys: serde_json::Map<_, _> = keys.map(|(id, key)| (id.clone(), key.as_str().into())).collect();
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", ports.0),
            "managementListenAddress": format!("127.0.0.1:{}", ports.1),
            "certificate": certificate.chain,
            "privateKey": certificate.key,
            "httpPort": validates.http,
            "tlsPort": validates.https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !keys.is_empty(),
            "externalAccountMACKeys": keys,
        }});
        dir.write("pebble.json", config.to_string());
        let mut environment = options.environment;
        if options.fast {
            environment.push(("PEBBLE_VA_NOSLEEP", "1".to_owned()));
        }
        let root = reqwest::Certificate::from_pem(&std::fs::read(pki.root()).unwrap()).unwrap();
        Self {
            port: ports.0,
            management: ports.1,
            root,
            command: Launch {
                dir,
                names: names.to_owned(),
                environment,
            },
            process: None,
            starts: 0,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As `SIGNPOST_ACME_DIRECTORY` takes it.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Nobody answers from now on.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// On the same ports. It has forgotten every account, order and nonce, and signs with another root.
    pub fn start_again(&mut self) {
        self.process = None;
        assert!(self.try_start(), "Pebble does not start again");
    }

    fn try_start(&mut self) -> bool {
        self.starts += 1;
        let dir = self.command.dir.path();
        let mut command = Command::new("pebble");
        command.env_clear().envs(self.command.environment.iter().cloned());
        command.arg("-config").arg(dir.join("pebble.json"));
        command.args(["-dnsserver", &self.command.names]);
        let mut process = Process::start(&mut command, dir.join(format!("pebble-{}.log", self.starts)));
        let ports = [self.port, self.management];
        let is_up = process.is_up(|| {
            ports
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        self.process = is_up.then_some(process);
        is_up
    }

    /// The root that its certificates lead to since its last start.
    pub async fn issuer_root(&self) -> CertificateDer<'static> {
        let client = reqwest::Client::builder()
            .tls_certs_only([self.root.clone()])
            .timeout(Duration::from_secs(10))
            .build();
        let url = format!("https://localhost:{}/roots/0", self.management);
        let pem = client.unwrap().get(url).send().await.unwrap().bytes().await.unwrap();
        CertificateDer::from_pem_slice(&pem).unwrap()
    }
}
