//! Requests byte by byte, so that a test can also send what no client library would.
use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    net::TcpStream,
};

use crate::app::WELL_KNOWN;

const PATIENCE: Duration = Duration::from_secs(20);

/// One answer as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All but the clock's, in one order.
    pub fn stable_headers(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| name != "date");
        headers.sort();
        headers
    }
}

/// A connection whose requests are written by hand.
pub struct Wire<S> {
    replies: Replies<S>,
    writer: WriteHalf<S>,
}

struct Replies<S>(BufReader<ReadHalf<S>>);

impl Wire<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    pub fn over(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            replies: Replies(BufReader::new(reader)),
            writer,
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
        self.writer.flush().await.unwrap();
    }

    /// The next answer to a request that is no HEAD; `None` if the server has closed the connection.
    pub async fn reply(&mut self) -> Option<Reply> {
        self.replies.next().await
    }

    /// What comes until the server closes the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.replies.0.read_to_end(&mut rest)).await;
        // A connection that is reset is closed too.
        read.expect("the server closes").ok();
        rest
    }
}

impl<S: AsyncRead + AsyncWrite> Replies<S> {
    async fn next(&mut self) -> Option<Reply> {
        let mut reply = self.head().await?;
        let length = reply
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    async fn head(&mut self) -> Option<Reply> {
        let status = self.line().await?;
        let mut headers = Vec::new();
        while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Some(Reply {
            status: status.split(' ').nth(1).unwrap().parse().unwrap(),
            headers,
            body: String::new(),
        })
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_until(b'\n', &mut line)).await;
        match read.expect("the server answers or closes") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(String::from_utf8(line).unwrap().trim_end().to_owned()),
        }
    }
}

/// Sends `request` on a connection of its own. The answer may come before all of it is sent;
/// `None` if the server closes the connection without one.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let Wire {
        mut replies,
        mut writer,
    } = Wire::connect(address).await;
    let sending = async {
        // A server that has refused it need not read the rest.
        writer.write_all(request).await.ok();
        std::future::pending().await
    };
    tokio::select! {
        reply = replies.next() => reply,
        () = sending => None,
    }
}

/// The same for a HEAD, whose answer ends with its headers: everything after them is the body here.
pub async fn exchange_head(address: SocketAddr, request: &[u8]) -> Reply {
    let mut wire = Wire::connect(address).await;
    wire.send(request).await;
    let mut reply = wire.replies.head().await.unwrap();
    reply.body = String::from_utf8(wire.rest().await).unwrap();
    reply
}

/// A discovery request of `host`, whatever that is, with more header lines (each with its end).
pub async fn ask(address: SocketAddr, host: &[u8], more: &str) -> Reply {
    let request = [
        b"GET ",
        WELL_KNOWN.as_bytes(),
        b" HTTP/1.1\r\nHost: ",
        host,
        b"\r\n",
        more.as_bytes(),
        b"\r\n",
    ];
    exchange(address, &request.concat()).await.expect("an answer")
}

/// A GET of `target`, whatever that is.
pub async fn ask_target(address: SocketAddr, host: &str, target: &[u8]) -> Reply {
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\n\r\n"];
    exchange(address, &request.concat()).await.expect("an answer")
}
