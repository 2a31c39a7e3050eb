//! A program that receives webhooks, on loopback: it keeps what came, and answers as it is told.
use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

pub const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// What came.
#[derive(Clone, Debug)]
pub struct Received {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Whether one of its signatures is by `secret`, as openssl says.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = signpost::input::hexadecimal(&key);
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-mac", "HMAC", "-binary", "-macopt"])
            .arg(format!("hexkey:{key}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let content = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        openssl.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        let made = openssl.wait_with_output().unwrap().stdout;
        let expected = format!("v1,{}", BASE64_STANDARD.encode(made));
        self.headers["webhook-signature"].split(' ').any(|one| one == expected)
    }
}

#[derive(Clone)]
pub enum Behaviour {
    Says(String),
    /// An answer that begins well and never ends.
    Endless,
    /// Takes the request and says nothing.
    Silent,
    /// A few bytes now and then.
    Drips,
}

pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    received: Mutex<Vec<Received>>,
    behaviour: Mutex<Behaviour>,
    came: Semaphore,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            received: Mutex::default(),
            behaviour: Mutex::new(Behaviour::Says(OK.to_owned())),
            came: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, shared.clone()));
            }
        });
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/signpost?key=1", self.address)
    }

    pub fn does(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    pub fn says(&self, answer: &str) {
        self.does(Behaviour::Says(answer.to_owned()));
    }

    pub fn received(&self) -> Vec<Received> {
        let received = self.state.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.clone()
    }

    /// The bodies' types, sorted.
    pub fn types(&self) -> Vec<String> {
        let mut types: Vec<_> = self
            .received()
            .iter()
            .map(|received| received.json()["type"].as_str().unwrap().to_owned())
            .collect();
        types.sort();
        types
    }

    /// Returns when one more has come.
    pub async fn comes(&self) {
        self.state.came.acquire().await.unwrap().forget();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let behaviour = {
        let mut received = state.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.push(Received {
            line,
            headers,
            body: String::from_utf8(body).unwrap(),
        });
        state.came.add_permits(1);
        state.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone()
    };
    match behaviour {
        Behaviour::Says(answer) => {
            stream.write_all(answer.as_bytes()).await.ok();
        }
        Behaviour::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Drips => {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
            while stream.write_all(b"x").await.is_ok() {
                tick.tick().await;
            }
        }
    }
}
