//! The three listeners. The public ones wrap the whole application in the front door.
use std::{
    any::Any,
    net::{Shutdown, SocketAddr, TcpListener},
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    App, HttpServer,
    dev::{Extensions, Server, ServerHandle},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use anyhow::{Context, Result};
use rustls::ProtocolVersion;
use utoipa_actix_web::AppExt;

use super::Addresses;
use crate::{
    api::{self, Api, request_id},
    certificates::{
        challenges::{self, Challenges},
        resolver::{Resolver, server_config, server_config_with_validation},
    },
    config::Settings,
    console::{self, Console},
    discovery::{
        front_door::FrontDoor,
        request::{Connection, Tls, TlsVersion},
    },
    ops::{self, Ops},
    tasks::Tasks,
};

/// A device has 90 seconds; one that needs ten to send a request of one line is none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECTIONS_A_WORKER: usize = 20_000;
const SHUTDOWN_SECONDS: u64 = 3;

/// Bound, and not yet accepting.
pub struct Sockets {
    http: TcpListener,
    https: TcpListener,
    ops: TcpListener,
}

/// What the public listeners need.
pub struct Public {
    pub door: FrontDoor,
    pub api: web::Data<Api>,
    pub console: web::Data<Console>,
    pub resolver: Arc<Resolver>,
    /// What a CA that validates in handshakes is shown.
    pub challenges: Option<Arc<Challenges>>,
}

/// Binds all addresses: one that is taken is an error before anything is started.
pub fn bind(settings: &Settings) -> Result<Sockets> {
    let bind = |name: &str, address: SocketAddr| {
        TcpListener::bind(address).with_context(|| format!("{name}: can't listen on {address}"))
    };
    Ok(Sockets {
        http: bind("SIGNPOST_HTTP_ADDR", settings.http_addr)?,
        https: bind("SIGNPOST_HTTPS_ADDR", settings.https_addr)?,
        ops: bind("SIGNPOST_OPS_ADDR", settings.ops_addr)?,
    })
}

impl Sockets {
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.local_addr()?,
            https: self.https.local_addr()?,
            ops: self.ops.local_addr()?,
        })
    }
}

/// Starts accepting. The handles stop what was started.
pub fn open(sockets: Sockets, public: Public, ops: Ops, tasks: &mut Tasks) -> Result<Vec<ServerHandle>> {
    let Public {
        door,
        api,
        console,
        resolver,
        challenges,
    } = public;
    let tls = match challenges {
        Some(challenges) => server_config_with_validation(resolver, challenges),
        None => server_config(resolver),
    };
    let server = HttpServer::new(move || {
        App::new()
            .app_data(api.clone())
            .app_data(console.clone())
            .configure(api::pages)
            .configure(console::public_pages)
            .into_utoipa_app()
            .configure(api::routes)
            .into_app()
            .configure(console::pages)
            .wrap(from_fn(request_id::with_request_id))
            .wrap(door.clone())
    })
    .on_connect(remember)
    .client_request_timeout(REQUEST_TIMEOUT)
    .tls_handshake_timeout(HANDSHAKE_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .max_connections(CONNECTIONS_A_WORKER)
    // Of those that are in a handshake: with fewer, whoever begins many and ends none keeps every listener from accepting.
    .max_connection_rate(CONNECTIONS_A_WORKER)
    .backlog(4096)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen(sockets.http)?
    .listen_rustls_0_23(sockets.https, tls?)?
    .run();
    let ops = web::Data::new(ops);
    let ops = HttpServer::new(move || App::new().app_data(ops.clone()).configure(ops::routes))
        .workers(1)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(sockets.ops)?
        .run();
    Ok(vec![
        spawn(tasks, "public listeners", server),
        spawn(tasks, "ops listener", ops),
    ])
}

/// A server that is told to stop waits for the task's end like every other.
fn spawn(tasks: &mut Tasks, name: &'static str, server: Server) -> ServerHandle {
    let handle = server.handle();
    let cancel = tasks.cancel();
    tasks.spawn(name, async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "{name} failed");
            return;
        }
        // It ended because it was told to; the process is about to tell everybody.
        cancel.cancelled().await;
    });
    handle
}

/// Keeps with the connection what requests on it are checked against.
fn remember(io: &dyn Any, extensions: &mut Extensions) {
    let peer = |tcp: &TcpStream| tcp.peer_addr().ok().map(|address| address.ip());
    let connection = if let Some(stream) = io.downcast_ref::<TlsStream<TcpStream>>() {
        let (tcp, session) = stream.get_ref();
        let is_validation = session.alpn_protocol() == Some(challenges::ALPN);
        if is_validation {
            close(tcp);
        }
        let version = if session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            TlsVersion::V1_3
        } else {
            TlsVersion::V1_2
        };
        Connection {
            peer: peer(tcp),
            tls: Some(Tls {
                // For no host: should something have been asked already, it is not answered.
                server_name: session
                    .server_name()
                    .filter(|_| !is_validation)
                    .unwrap_or_default()
                    .into(),
                version,
            }),
        }
    } else {
        Connection {
            peer: io.downcast_ref::<TcpStream>().and_then(peer),
            tls: None,
        }
    };
    extensions.insert(connection);
}

/// RFC 8737 §3: with the handshake a validation is over. Nothing can be read or written any more.
fn close(tcp: &TcpStream) {
    if let Ok(socket) = tcp.as_fd().try_clone_to_owned() {
        // Fails if the other side was first.
        std::net::TcpStream::from(socket).shutdown(Shutdown::Both).ok();
    }
}
