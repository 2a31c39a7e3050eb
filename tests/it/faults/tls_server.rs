//! A server that speaks TLS properly and then writes what no web server would, as slowly as it is told.
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::rustls;

use super::pki::Files;

/// What follows the head of a request.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// These bytes, then the end.
    Bytes(&'a str),
    /// These bytes again and again, until nobody reads them.
    Endless(&'a str, &'a str),
    /// The first bytes at once, then the others one by one, this far apart.
    Drip(&'a str, &'a str, Duration),
    /// Nothing, for as long as the client waits.
    Silence,
}

/// Answers every request in the same way, each connection on a thread of its own.
pub struct TlsServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TlsServer {
    pub fn start(certificate: &Files, answer: Answer<'_>) -> Self {
        let script = Arc::new(Script::of(answer));
        let chain = CertificateDer::pem_file_iter(&certificate.chain).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key);
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (config, script, stopped) = (config.clone(), script.clone(), stopped.clone());
                // Ends by itself: with its client, or with the server.
                thread::spawn(move || stream.map(|stream| serve(stream, config, &script, &stopped)));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes it up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// First all of this, then byte by byte all of that; perhaps again and again.
struct Script {
    first: Vec<u8>,
    rest: Vec<u8>,
    pause: Duration,
    is_endless: bool,
}

impl Script {
    fn of(answer: Answer<'_>) -> Self {
        let (first, rest, pause) = match answer {
            Answer::Bytes(bytes) => (bytes, "", Duration::ZERO),
            Answer::Drip(first, rest, pause) => (first, rest, pause),
            Answer::Endless(first, again) => (first, again, Duration::ZERO),
            Answer::Silence => ("", "x", Duration::from_secs(60)),
        };
        Self {
            first: first.into(),
            rest: rest.into(),
            pause,
            is_endless: matches!(answer, Answer::Endless(..)),
        }
    }
}

/// A client may go at any moment: what can't be read or written is the end.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, script: &Script, stopped: &AtomicBool) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if tls.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let is_stopped = || stopped.load(Ordering::Acquire);
    tls.write_all(&script.first).ok()?;
    while script.is_endless && !is_stopped() {
        tls.write_all(&script.rest).ok()?;
    }
    for byte in &script.rest {
        let began = Instant::now();
        while began.elapsed() < script.pause && !is_stopped() {
            thread::sleep(script.pause.min(Duration::from_millis(50)));
        }
        tls.write_all(&[*byte]).ok()?;
    }
    tls.conn.send_close_notify();
    tls.flush().ok()
}
