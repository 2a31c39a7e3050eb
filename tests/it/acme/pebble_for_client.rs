//! Pebble, the ACME test server of Let's Encrypt, moody as it comes: it refuses good nonces and takes its time.
use std::{net::TcpStream, process::Command};

use serde_json::json;
use signpost::certificates::acme::Ca;

use crate::{
    faults::pki::{Files, Kind, Pki},
    process::{Process, TestDir, free_port, start_on_a_free_port},
};

pub struct Pebble {
    port: u16,
    dir: TestDir,
    pki: Pki,
    process: Option<Process>,
}

impl Pebble {
    /// With these settings in its environment.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let pki = Pki::new();
        let certificate = pki.issue(&["localhost"], Kind::Good);
        let mut pebble = Self {
            port: 0,
            dir: TestDir::new(),
            pki,
            process: None,
        };
        start_on_a_free_port(|port| {
            pebble.port = port;
            let config = json!({"pebble": {
                "listenAddress": format!("127.0.0.1:{port}"),
                "managementListenAddress": format!("127.0.0.1:{}", free_port()),
                "certificate": certificate.chain,
                "privateKey": certificate.key,
                "httpPort": free_port(),
                "tlsPort": free_port(),
                "ocspResponderURL": "",
                "externalAccountBindingRequired": false,
            }});
            let config = pebble.dir.write("pebble.json", config.to_string());
            let mut command = Command::new("pebble");
            command.arg("-config").arg(config).envs(environment.iter().copied());
            let mut process = Process::start(&mut command, pebble.dir.path().join("said"));
            match process.is_up(|| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
                true => pebble.process = Some(process),
                false => return Err(process.said()),
            }
            Ok(())
        });
        pebble
    }

    pub fn ca(&self) -> Ca {
        self.ca_at(self.port)
    }

    /// Behind another server on this machine.
    pub fn ca_at(&self, port: u16) -> Ca {
        let directory = format!("https://localhost:{port}/dir").parse().unwrap();
        let root = std::fs::read(self.pki.root()).unwrap();
        Ca::new(directory, Some(&root)).unwrap()
    }

    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// For `localhost`.
    pub fn certificate(&self) -> Files {
        self.pki.issue(&["localhost"], Kind::Good)
    }

    pub fn said(&self) -> String {
        self.process.as_ref().map(Process::said).unwrap_or_default()
    }

    /// How many requests it has seen.
    pub fn requests(&self) -> usize {
        let said = self.said();
        let is_request = |line: &&str| ["GET /", "POST /", "HEAD /"].iter().any(|method| line.contains(method));
        said.lines().filter(is_request).count()
    }
}
