//! A way to the CA that remembers every request and makes trouble where a test wants it: between what the CA has
//! done and what we know of it, above all.
mod records;
mod troubles;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tokio_util::sync::CancellationToken;

use records::Records;
pub use records::{Kind, Record};
use troubles::Troubles;
pub use troubles::{Injected, Trouble, Where};
pub use wire::Answer;
use wire::Request;

use super::rig;
use crate::{
    faults::pki::{self, Pki},
    process::free_port,
};

/// Longer than anybody waits for an answer.
const FOR_EVER: Duration = Duration::from_secs(600);

pub struct CaProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    /// Of those who are connected now.
    open: Mutex<Option<CancellationToken>>,
}

struct Shared {
    upstream: reqwest::Client,
    ca: String,
    records: Records,
    troubles: Troubles,
}

impl CaProxy {
    /// In front of the CA that listens on this port of `localhost`.
    pub fn start(pki: &Pki, ca_port: u16) -> Self {
        let root = reqwest::Certificate::from_pem(&std::fs::read(pki.root()).unwrap()).unwrap();
        let upstream = reqwest::Client::builder()
            .tls_certs_only([root])
            .redirect(reqwest::redirect::Policy::none())
            // Over HTTP/2 the CA would be told its own name instead of ours.
            .http1_only()
            .build();
        let shared = Shared {
            upstream: upstream.unwrap(),
            ca: format!("https://localhost:{ca_port}"),
            records: Records::default(),
            troubles: Troubles::default(),
        };
        let proxy = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            shared: Arc::new(shared),
            acceptor: acceptor(pki),
            open: Mutex::default(),
        };
        proxy.listen();
        proxy
    }

    /// As `SIGNPOST_ACME_DIRECTORY` takes it.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }

    /// Cuts every connection, and refuses new ones.
    pub fn refuse(&self) {
        if let Some(open) = self.open.lock().unwrap().take() {
            open.cancel();
        }
    }

    /// Accepts connections again, at the same address.
    pub fn accept(&self) {
        self.refuse();
        self.listen();
    }

    /// Makes trouble from now on, for the first `times` requests that are there.
    pub fn inject(&self, at: Where, trouble: Trouble, times: usize) -> Injected {
        self.shared.troubles.add(at, trouble, times)
    }

    /// Every request that was answered, by the CA or in its place.
    pub fn requests(&self) -> Vec<Record> {
        self.shared.records.list()
    }

    /// How many requests of a kind there were.
    pub fn count(&self, kind: Kind) -> usize {
        self.requests().iter().filter(|record| record.kind == kind).count()
    }

    /// The hostnames for which the CA has placed orders, one for each order.
    pub fn orders(&self) -> Vec<String> {
        let placed = |record: &Record| record.kind == Kind::NewOrder && record.status == 201;
        let orders = self.requests().into_iter().filter(placed);
        orders.map(|record| record.hostname.unwrap_or_default()).collect()
    }

    /// How many accounts the CA has made.
    pub fn accounts(&self) -> usize {
        let made = |record: &&Record| record.kind == Kind::NewAccount && record.status == 201;
        self.requests().iter().filter(made).count()
    }

    fn listen(&self) {
        let _inside = rig::runtime().enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(1024).unwrap();
        let open = CancellationToken::new();
        *self.open.lock().unwrap() = Some(open.clone());
        let (shared, acceptor) = (self.shared.clone(), self.acceptor.clone());
        let accepting = accept(listener, shared, acceptor, open.clone());
        rig::runtime().spawn(open.run_until_cancelled_owned(accepting));
    }
}

impl Drop for CaProxy {
    fn drop(&mut self) {
        // A test that fails tells what was asked last.
        if std::thread::panicking() {
            let requests = self.requests();
            for request in &requests[requests.len().saturating_sub(80)..] {
                eprintln!("the CA was asked: {request:?}");
            }
        }
        self.refuse();
    }
}

fn acceptor(pki: &Pki) -> TlsAcceptor {
    let files = pki.issue(&["localhost"], pki::Kind::Good);
    let chain = CertificateDer::pem_file_iter(&files.chain).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, acceptor: TlsAcceptor, open: CancellationToken) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let serving = serve(stream, shared.clone(), acceptor.clone());
            rig::runtime().spawn(open.clone().run_until_cancelled_owned(serving));
        }
    }
}

/// One connection, request after request. Whoever is connected may go at any moment: that is the end of it.
async fn serve(stream: TcpStream, shared: Arc<Shared>, acceptor: TlsAcceptor) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = wire::Stream::new(acceptor.accept(stream).await.ok()?);
    loop {
        let request = stream.read().await?;
        let seen = shared.records.look(&request);
        let trouble = shared.troubles.before(&seen);
        let answer = match &trouble {
            Some(found) => match found.trouble() {
                Trouble::Answer(answer) => answer.clone(),
                Trouble::Hang => {
                    tokio::time::sleep(FOR_EVER).await;
                    return None;
                }
                Trouble::Cut => return None,
                Trouble::Endless => {
                    shared.records.add(seen, &Answer::plain(200, ""));
                    return stream.write_for_ever(&request).await;
                }
                Trouble::HoldBefore => {
                    found.hold().await?;
                    shared.forward(&request, &seen).await?
                }
                Trouble::HoldAfter => unreachable!("it comes after"),
            },
            None => shared.forward(&request, &seen).await?,
        };
        shared.records.add(seen.clone(), &answer);
        if let Some(found) = shared.troubles.after(&seen, answer.status) {
            found.hold().await?;
        }
        stream.write(&request, &answer).await?;
    }
}

impl Shared {
    /// What the CA says, or nothing if it is not there.
    async fn forward(&self, request: &Request, seen: &Record) -> Option<Answer> {
        let answer = self.ask(request).await;
        answer
            .inspect_err(|error| self.records.add_failed(seen.clone(), error))
            .ok()
    }

    async fn ask(&self, request: &Request) -> reqwest::Result<Answer> {
        let method = request.method.parse().unwrap();
        let mut forwarded = self.upstream.request(method, format!("{}{}", self.ca, request.path));
        for (name, value) in &request.headers {
            // The URLs that the CA makes are made of the Host that it was asked as.
            if !["connection", "content-length", "accept-encoding"].contains(&name.as_str()) {
                forwarded = forwarded.header(name, value);
            }
        }
        let response = forwarded.body(request.body.clone()).send().await?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        Ok(Answer {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.bytes().await?.to_vec(),
        })
    }
}
