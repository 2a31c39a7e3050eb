//! HTTP/1.1 by hand: a proxy that is to hold, cut and garble must own every byte.
use std::fmt::Write;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn plain(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: body.into(),
        }
    }

    /// A problem document of RFC 8555 §6.7.
    pub fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        let body = serde_json::json!({"type": kind, "detail": detail, "status": status});
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/problem+json".to_owned())],
            body: body.to_string().into(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

pub struct Stream(BufReader<TlsStream<TcpStream>>);

impl Stream {
    pub fn new(stream: TlsStream<TcpStream>) -> Self {
        Self(BufReader::new(stream))
    }

    /// The next request; nothing at the end of the connection.
    pub async fn read(&mut self) -> Option<Request> {
        let line = self.line().await?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Request {
            method,
            path,
            headers,
            body,
        })
    }

    pub async fn write(&mut self, request: &Request, answer: &Answer) -> Option<()> {
        let mut head = format!("HTTP/1.1 {} -\r\n", answer.status);
        for (name, value) in &answer.headers {
            if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
                write!(head, "{name}: {value}\r\n").unwrap();
            }
        }
        let body: &[u8] = if request.method == "HEAD" { &[] } else { &answer.body };
        if answer.status != 204 {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        self.0.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
        self.0.flush().await.ok()
    }

    /// A body that ends only when nobody reads it.
    pub async fn write_for_ever(&mut self, request: &Request) -> Option<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        self.0.write_all(head.as_bytes()).await.ok()?;
        if request.method == "HEAD" {
            return None;
        }
        let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
        loop {
            self.0.write_all(chunk.as_bytes()).await.ok()?;
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).await.ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    }
}
