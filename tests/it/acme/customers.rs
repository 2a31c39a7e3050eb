//! Devices of a domain that has its certificate, who ask all the time: whatever is the matter with the CA, nobody may
//! notice.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::client::TlsStream;

use super::{cluster::connect, rig};
use crate::{
    app::{WELL_KNOWN, intune_document},
    wire::Wire,
};

/// Between two questions to a server.
const PAUSE: Duration = Duration::from_millis(15);

pub struct Customers {
    served: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Customers {
    /// Who ask each of these servers, on new connections and on one that stays.
    pub fn of(hostname: &str, servers: &[SocketAddr]) -> Self {
        let served = Arc::<AtomicUsize>::default();
        let ask =
            |server: &SocketAddr| rig::runtime().spawn(ask_for_ever(*server, hostname.to_owned(), served.clone()));
        let tasks = servers.iter().map(ask).collect();
        Self { served, tasks }
    }

    /// Waits until so many more questions were answered; every one must be.
    pub async fn ask(&self, count: usize) {
        let wanted = self.served.load(Ordering::Acquire) + count;
        rig::within(60, "the questions are answered", || async {
            self.assert_served();
            self.served.load(Ordering::Acquire) >= wanted
        })
        .await;
    }

    /// Not one question was refused, misunderstood or forgotten until now.
    pub fn assert_served(&self) {
        // A task ends when a question of its own was not answered as it should.
        assert!(
            !self.tasks.iter().any(JoinHandle::is_finished),
            "a customer was disturbed: see above"
        );
    }
}

impl Drop for Customers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn ask_for_ever(server: SocketAddr, hostname: String, served: Arc<AtomicUsize>) {
    let mut staying = open(server, &hostname).await;
    loop {
        let mut fresh = open(server, &hostname).await;
        question(&mut fresh, &hostname).await;
        question(&mut staying, &hostname).await;
        served.fetch_add(2, Ordering::AcqRel);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn open(server: SocketAddr, hostname: &str) -> Wire<TlsStream<TcpStream>> {
    Wire::over(connect(server, hostname).await.expect("a handshake"))
}

async fn question(wire: &mut Wire<TlsStream<TcpStream>>, hostname: &str) {
    let request = format!("GET {WELL_KNOWN}?model-family=iPhone HTTP/1.1\r\nHost: {hostname}\r\n\r\n");
    wire.send(request.as_bytes()).await;
    let reply = wire.reply().await.expect("an answer");
    assert_eq!((reply.status, reply.body), (200, intune_document()));
}
