//! The three listeners. The public ones wrap the whole application in the front door.
use std::{
    fmt,
    future::Future,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{Extensions, HttpService, Request, Response};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder, ServerHandle};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::{App, body::MessageBody, dev::AppConfig, middleware::from_fn, rt::net::TcpStream, web};
use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use utoipa_actix_web::AppExt;

use super::{Addresses, portal_database, portal_limit};
use crate::{
    api::{self, Api, request_id},
    certificates::{
        challenges::{self, Challenges},
        resolver::{Resolver, server_config, server_config_with_validation},
    },
    config::Settings,
    connections::{
        accept::{Closed, Gate, TlsSettings, TrustedPeers, bound_buffers, plain_connection, tls_connection},
        pacing::{PacedStream, Pacer, with_body_on_demand},
        stats::ConnectionStats,
        stream::ClientStream,
    },
    console::{self, Console},
    descriptors,
    discovery::{front_door::FrontDoor, request::Connection},
    ops::{self, Ops},
    public_scheme::PublicScheme,
    tasks::Tasks,
};

/// A device has 90 seconds; one that needs ten to send a request of one line is none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After the last answer, for the client to close its side.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
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
    pub gate: Gate,
    pub scheme: PublicScheme,
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
        gate,
        scheme,
    } = public;
    let tls = match challenges {
        Some(challenges) => TlsSettings::new(
            server_config_with_validation(resolver, challenges)?,
            Some(challenges::ALPN),
        ),
        None => TlsSettings::new(server_config(resolver)?, None),
    };
    let scheme = web::Data::new(scheme);
    let availability = web::Data::from(ops.availability.clone());
    let portal_requests = web::Data::from(gate.stats.portal_requests.clone());
    let app = move || {
        App::new()
            .app_data(api.clone())
            .app_data(console.clone())
            .app_data(portal_requests.clone())
            .app_data(scheme.clone())
            .app_data(availability.clone())
            .configure(api::pages)
            .configure(console::public_pages)
            .into_utoipa_app()
            .configure(api::routes)
            .into_app()
            .configure(console::pages)
            .wrap(from_fn(portal_database::guard))
            .wrap(from_fn(portal_limit::limit))
            .wrap(from_fn(request_id::with_request_id))
            .wrap(door.clone())
    };
    for listener in [&sockets.http, &sockets.https] {
        bound_buffers(listener).context("the public listeners' buffers can't be set")?;
    }
    let builder = server();
    let draining = builder.graceful_shutdown_signal();
    let plain = {
        let (gate, app, draining) = (gate.clone(), app.clone(), draining.clone());
        move || plain_service(gate.clone(), http(app(), draining.clone(), plain_connection))
    };
    let encrypted = move || {
        let (gate, tls) = (gate.clone(), tls.clone());
        let accept = fn_service(move |io: TcpStream| {
            let (gate, tls, admitted) = (gate.clone(), tls.clone(), gate.admit(io, true));
            async move { Ok((PacedStream::new(gate.tls_stream(admitted?, &tls).await?), None)) }
        });
        accept.and_then(http(app(), draining.clone(), tls_connection))
    };
    let public = builder
        .listen("http", sockets.http, plain)?
        .listen("https", sockets.https, encrypted)?
        .run();
    let ops = ops_server(sockets.ops, ops)?;
    Ok(vec![
        spawn(tasks, "public listeners", public),
        spawn(tasks, "ops listener", ops),
    ])
}

/// Has a bound of its own, so that it answers whatever the public listeners have accepted.
fn ops_server(socket: TcpListener, ops: Ops) -> Result<Server> {
    let ops = web::Data::new(ops);
    let app = move || App::new().app_data(ops.clone()).configure(ops::routes);
    let gate = Gate {
        stats: Arc::new(ConnectionStats::new(descriptors::OPS, 0)),
        peers: Arc::new(TrustedPeers::every_peer()),
    };
    bound_buffers(&socket)?;
    let builder = server().workers(1);
    let draining = builder.graceful_shutdown_signal();
    let listen = move || plain_service(gate.clone(), http(app(), draining.clone(), plain_connection));
    Ok(builder.listen("ops", socket, listen)?.run())
}

/// Bounds are the gate's: at a limit of its own the framework would stop accepting for everybody.
fn server() -> ServerBuilder {
    Server::build()
        .max_concurrent_connections(usize::MAX)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
}

/// A TCP connection without TLS → its requests.
fn plain_service<H>(gate: Gate, http: H) -> impl ServiceFactory<TcpStream, Config = ()>
where
    H: ServiceFactory<(PacedStream<ClientStream>, Option<SocketAddr>), Config = (), Error = Closed, InitError = ()>
        + 'static,
{
    let accept = fn_service(move |io: TcpStream| {
        let (gate, admitted) = (gate.clone(), gate.admit(io, false));
        async move { Ok((PacedStream::new(gate.plain_stream(admitted?).await?), None)) }
    });
    accept.and_then(http)
}

/// HTTP/1.1 with the application on connections of one kind. `connection` says what requests are checked against.
fn http<T, I, S, B>(
    app: I,
    draining: GracefulShutdownSignal,
    connection: fn(&T) -> Connection,
) -> impl ServiceFactory<(PacedStream<T>, Option<SocketAddr>), Config = (), Response = (), Error = Closed, InitError = ()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let app = app.into_factory().map_err(|error| error.into().error_response());
    let paced = apply_fn_factory(map_config(app, |()| AppConfig::default()), |request, app| {
        answer_one_at_a_time(request, app)
    });
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let draining = draining.clone();
            async move { draining.notified().await }
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        // A client that has closed its side is gone: its handler is dropped, and with it what it asked the database.
        .h1_allow_half_closed(false)
        .on_connect_ext(move |io: &PacedStream<T>, extensions: &mut Extensions| {
            extensions.insert(connection(io.get_ref()));
            extensions.insert(io.pacer());
        })
        .h1(paced)
        .map_err(|_| Closed)
}

/// The connection hands over no other request until this one is answered.
fn answer_one_at_a_time<S: Service<Request>>(
    request: Request,
    app: &S,
) -> impl Future<Output = Result<S::Response, S::Error>> + use<S> {
    let pacer = request.conn_data::<Rc<Pacer>>().cloned();
    let (request, answering) = match pacer {
        Some(pacer) => (with_body_on_demand(request, &pacer), Some(pacer.begin())),
        None => (request, None),
    };
    let answer = app.call(request);
    async move {
        let answer = answer.await;
        drop(answering);
        answer
    }
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
