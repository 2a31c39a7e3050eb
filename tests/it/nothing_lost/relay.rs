//! What stands between a node and a server of PostgreSQL: a connection through it may fall silent, as when a network is
//! cut, and never learn that the other end has gone.
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{acme::rig, process::start_on_a_free_port};

pub struct Relay {
    pub port: u16,
    /// How often it was cut and mended: odd while nothing goes through.
    cuts: Arc<watch::Sender<u32>>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub fn to(server: u16) -> Self {
        let _inside = rig::runtime().enter();
        let listener = start_on_a_free_port(|port| {
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.to_string())
        });
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(watch::Sender::new(0));
        let accepting = rig::runtime().spawn({
            let cuts = cuts.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    rig::runtime().spawn(carry(client, server, cuts.subscribe()));
                }
            }
        });
        Self { port, cuts, accepting }
    }

    /// From now on nobody hears anything; new connections are made, and stay silent.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// For new connections. The old ones stay silent.
    pub fn mend(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, server: u16, mut cuts: watch::Receiver<u32>) {
    let began = *cuts.borrow_and_update();
    if began.is_multiple_of(2)
        && let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, server))).await
    {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::select! {
            () = pour(&mut from_client, &mut to_server) => return,
            () = pour(&mut from_server, &mut to_client) => return,
            _ = cuts.changed() => {}
        }
        // Both ends stay open, and hear nothing any more.
        std::future::pending::<()>().await;
        drop((from_client, to_client, from_server, to_server));
    } else if began % 2 == 1 {
        std::future::pending::<()>().await;
        drop(client);
    }
}

async fn pour(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin)) {
    let mut room = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut room).await {
        if to.write_all(&room[..length]).await.is_err() {
            return;
        }
    }
}
