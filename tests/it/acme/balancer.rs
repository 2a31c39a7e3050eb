//! A load balancer in front of the nodes: one connection after the other to the next node that says it is ready.
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{pebble::Validates, rig};
use crate::process::start_on_a_free_port;

/// How often it asks each node.
const PERIOD: Duration = Duration::from_millis(50);
/// Periods for which a connection waits for a node.
const PATIENCE: usize = 40;

pub struct Balancer {
    pub http: u16,
    pub https: u16,
    nodes: Arc<Mutex<Vec<Arc<Node>>>>,
    tasks: Vec<JoinHandle<()>>,
}

struct Node {
    http: SocketAddr,
    https: SocketAddr,
    ops: SocketAddr,
    is_ready: AtomicBool,
}

impl Balancer {
    pub fn start() -> Self {
        let nodes = Arc::<Mutex<Vec<Arc<Node>>>>::default();
        let (http, of_http) = listen(nodes.clone(), |node| node.http);
        let (https, of_https) = listen(nodes.clone(), |node| node.https);
        let looking = rig::runtime().spawn(look(nodes.clone()));
        Self {
            http,
            https,
            nodes,
            tasks: vec![of_http, of_https, looking],
        }
    }

    /// Where a CA is to look.
    pub fn public(&self) -> Validates {
        Validates {
            http: self.http,
            https: self.https,
        }
    }

    /// One more node, which listens at these addresses once it runs.
    pub fn add(&self, http: SocketAddr, https: SocketAddr, ops: SocketAddr) {
        self.nodes.lock().unwrap().push(Arc::new(Node {
            http,
            https,
            ops,
            is_ready: AtomicBool::new(false),
        }));
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn listen(nodes: Arc<Mutex<Vec<Arc<Node>>>>, which: fn(&Node) -> SocketAddr) -> (u16, JoinHandle<()>) {
    let _inside = rig::runtime().enter();
    // Not a port that a connection may have by chance: the names' records lead to this one until the test ends.
    let listener = start_on_a_free_port(|port| {
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.to_string())
    });
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, rig::runtime().spawn(accept(listener, nodes, which)))
}

async fn accept(listener: TcpListener, nodes: Arc<Mutex<Vec<Arc<Node>>>>, which: fn(&Node) -> SocketAddr) {
    let turn = AtomicUsize::new(0);
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        rig::runtime().spawn(carry(client, nodes.clone(), which, turn));
    }
}

/// To the node whose turn it is, or else to the next. While none is ready the connection waits: a node that has just
/// begun to listen is seen a moment later.
async fn carry(mut client: TcpStream, nodes: Arc<Mutex<Vec<Arc<Node>>>>, which: fn(&Node) -> SocketAddr, turn: usize) {
    for _ in 0..PATIENCE {
        let ready: Vec<_> = {
            let nodes = nodes.lock().unwrap();
            let ready = nodes.iter().filter(|node| node.is_ready.load(Ordering::Acquire));
            ready.map(|node| which(node)).collect()
        };
        for step in 0..ready.len() {
            let node = ready[(turn + step) % ready.len()];
            if let Ok(mut server) = TcpStream::connect(node).await {
                // Either may end it.
                let _ = copy_bidirectional(&mut client, &mut server).await;
                return;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn look(nodes: Arc<Mutex<Vec<Arc<Node>>>>) {
    loop {
        let known = nodes.lock().unwrap().clone();
        for node in known {
            let asked = tokio::time::timeout(Duration::from_secs(2), is_ready(node.ops));
            let is_ready = matches!(asked.await, Ok(Ok(true)));
            node.is_ready.store(is_ready, Ordering::Release);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn is_ready(ops: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(ops).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
