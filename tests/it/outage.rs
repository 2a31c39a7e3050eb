//! A database that goes away and comes back: the server reaches the real one through here only.
use std::{
    io,
    net::{Shutdown, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use sqlx::{PgPool, postgres::PgConnectOptions};

/// A socket in front of the test's database.
pub struct Outage {
    directory: PathBuf,
    is_cut: Arc<AtomicBool>,
    is_silent: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<UnixStream>>>,
    options: PgConnectOptions,
}

impl Outage {
    pub fn of(pool: &PgPool) -> Self {
        let real = (*pool.connect_options()).clone();
        let directory = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
        let outage = Self {
            is_cut: Arc::default(),
            is_silent: Arc::default(),
            connections: Arc::default(),
            options: real.clone().socket(&directory).port(5432),
            directory,
        };
        let (is_cut, is_silent) = (outage.is_cut.clone(), outage.is_silent.clone());
        let connections = outage.connections.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, connect(&real)) else {
                    return;
                };
                if is_silent.load(Ordering::Acquire) {
                    connections.lock().unwrap().push(client);
                } else if !is_cut.load(Ordering::Acquire) {
                    connections
                        .lock()
                        .unwrap()
                        .extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                    couple(client, server);
                }
            }
        });
        outage
    }

    /// Where a server that is to suffer finds the database.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Connections end, and new ones are accepted and closed at once.
    pub fn begin(&self) {
        self.is_cut.store(true, Ordering::Release);
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.shutdown(Shutdown::Both).ok();
        }
    }

    /// Connections end; new ones are accepted, and nothing is heard on them.
    pub fn begin_silence(&self) {
        self.is_silent.store(true, Ordering::Release);
        self.begin();
    }

    pub fn end(&self) {
        self.is_cut.store(false, Ordering::Release);
        if self.is_silent.swap(false, Ordering::AcqRel) {
            self.connections.lock().unwrap().clear();
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.begin();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn connect(real: &PgConnectOptions) -> io::Result<UnixStream> {
    let host = real.get_host();
    let socket_dir = real
        .get_socket()
        .cloned()
        .or_else(|| host.starts_with('/').then(|| host.into()));
    match socket_dir {
        Some(directory) => UnixStream::connect(directory.join(format!(".s.PGSQL.{}", real.get_port()))),
        // Reading, writing and shutting down are the same for every kind of stream socket.
        None => TcpStream::connect((host, real.get_port())).map(|tcp| OwnedFd::from(tcp).into()),
    }
}

fn couple(client: UnixStream, server: UnixStream) {
    let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || carry(client, server));
    thread::spawn(move || carry(server_too, client_too));
}

fn carry(mut from: UnixStream, mut to: UnixStream) {
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Both).ok();
}
