//! The CA's web server: TLS and HTTP/1.1 by hand, so that it can be as wrong as it is told to be.
use std::{fmt::Write, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

use super::{Answer, Fault, Shared, routes};
use crate::faults::pki::Files;

type Stream = TlsStream<TcpStream>;

pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// Of a name in lower case.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Answer {
    pub fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let document =
            json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status});
        Self::json(status, &document).with("Content-Type", "application/problem+json")
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: body.to_string().into(),
        }
    }

    /// With this header, and no other of this name.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(of, _)| of != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    fn head(&self, length: &str) -> String {
        let mut head = format!("HTTP/1.1 {} Said\r\n{length}\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        let head = self.head(&format!("Content-Length: {}", self.body.len()));
        let body = match request.method.as_str() {
            "HEAD" => &[][..],
            _ => &self.body,
        };
        [head.as_bytes(), b"\r\n", body].concat()
    }
}

pub fn tls(certificate: &Files) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&certificate.chain).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key);
    Arc::new(config.unwrap()).into()
}

pub async fn serve(listener: std::net::TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if !shared.state().behaviour.is_down {
            let (tls, shared) = (tls.clone(), shared.clone());
            connections.spawn(async move {
                let mut stream = tls.accept(stream).await.ok()?;
                while answer(&mut stream, &shared).await.is_some() {}
                let ended = stream.shutdown().await.ok();
                shared.state().closed += 1;
                ended
            });
        }
        while connections.try_join_next().is_some() {}
    }
}

/// None: the connection is at its end.
async fn answer(stream: &mut Stream, shared: &Arc<Shared>) -> Option<()> {
    let request = read(stream).await?;
    if shared.state().behaviour.is_down {
        return None;
    }
    let (seen, fault) = routes::see(shared, &request);
    let told = |answer: &Answer| shared.state().seen[seen].status = Some(answer.status);
    match &fault {
        Some(Fault::CutBefore) => return None,
        Some(Fault::Hang) => return hang(stream).await,
        Some(Fault::Answer(answer)) => {
            told(answer);
            let nonce = shared.state().nonce();
            let answer = answer.clone().with("Replay-Nonce", nonce);
            return stream.write_all(&answer.bytes(&request)).await.ok();
        }
        _ => {}
    }
    let mut right = routes::answer(shared, &request, seen).await;
    match fault.clone() {
        Some(Fault::CutAfter) => return None,
        Some(Fault::HangAfter) => return hang(stream).await,
        Some(Fault::AnswerAfter(answer)) => right = answer,
        Some(Fault::Truncated) => right.body.truncate(right.body.len() / 2),
        Some(Fault::Headers(count)) => {
            right
                .headers
                .extend((0..count).map(|n| (format!("X-{n}"), "x".repeat(50))));
        }
        Some(Fault::Drip(pause)) => {
            told(&right);
            return drip(stream, &right.bytes(&request), pause).await;
        }
        Some(Fault::Endless) => {
            told(&right);
            return endless(stream, &right).await;
        }
        _ => {}
    }
    told(&right);
    stream.write_all(&right.bytes(&request)).await.ok()?;
    (!matches!(fault, Some(Fault::CloseAfter))).then_some(())
}

async fn read(stream: &mut Stream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let (method, rest) = lines.next()?.split_once(' ')?;
    let path = rest.split_once(' ')?.0;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        headers: lines.map_while(header).collect(),
        body: Vec::new(),
    };
    request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

/// Until the client goes.
async fn hang(stream: &mut Stream) -> Option<()> {
    while stream.read_u8().await.is_ok() {}
    None
}

async fn drip(stream: &mut Stream, bytes: &[u8], pause: Duration) -> Option<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await.ok()?;
        tokio::time::sleep(pause).await;
    }
    Some(())
}

async fn endless(stream: &mut Stream, answer: &Answer) -> Option<()> {
    let head = answer.head("Transfer-Encoding: chunked") + "\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    loop {
        let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
        stream.write_all(chunk.as_bytes()).await.ok()?;
    }
}
