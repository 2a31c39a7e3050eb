//! One request, over http or https: a GET, or a POST. Whatever the server does, it ends at the deadline and holds a bounded piece of memory.
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{HOST, HeaderName, HeaderValue},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Body, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::rustls::{
    self,
    pki_types::{CertificateDer, ServerName},
};
use url::{Host, Url};

use super::{ConnectError, Forbidden, Outbound, tls};
use crate::dns::{Dns, Failure};

const MAX_HEADERS: usize = 100;
/// Of the status line and the headers.
const MAX_HEAD: usize = 32 * 1024;
const MAX_ADDRESSES: usize = 8;

/// What to fetch.
pub struct Get<'a> {
    pub url: &'a Url,
    /// Beside `Host`.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// A longer body is an error.
    pub max_body: usize,
    /// For the whole: names, connection, answer.
    pub patience: Duration,
    /// Authorities to trust beside the public ones.
    pub roots: &'a [CertificateDer<'static>],
}

/// What to send. The answer's body is of no great concern: one that is longer is cut.
pub struct Post<'a> {
    pub to: Get<'a>,
    pub body: Bytes,
}

/// What is asked, either way.
struct Ask<'a> {
    get: &'a Get<'a>,
    /// Of a POST.
    body: Option<Bytes>,
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub struct Fetched {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Who answered.
    pub address: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("only an http or https URL with a host can be fetched")]
    Unfetchable,
    #[error("the address of {0} is not known: {1}")]
    Dns(String, #[source] Failure),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("{}", unconnected(.0, .1))]
    Connect(SocketAddr, #[source] ConnectError),
    #[error("the host is at no address that may be asked: {0}")]
    Forbidden(#[source] Forbidden),
    #[error("no secure connection came about")]
    Tls(#[source] io::Error),
    #[error("an authority to trust can't be read")]
    Roots(#[source] rustls::Error),
    #[error("there was no readable answer")]
    Http(#[source] hyper::Error),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer took more than {} s", .0.as_secs())]
    Timeout(Duration),
}

/// An address that is not public is not named.
fn unconnected(address: &SocketAddr, error: &ConnectError) -> String {
    match error {
        ConnectError::Forbidden(forbidden) => format!("the host is at no address that may be asked: {forbidden}"),
        _ => format!("{address} can't be connected to: {error}"),
    }
}

impl Outbound {
    /// One GET; a redirect is an answer like any other. The name is looked up once, and its addresses are tried in
    /// order until one takes the connection.
    pub async fn fetch(&self, dns: &Dns, get: Get<'_>) -> Result<Fetched, FetchError> {
        let ask = Ask { get: &get, body: None };
        self.ask(dns, ask).await
    }

    /// One POST; the same holds.
    pub async fn post(&self, dns: &Dns, post: Post<'_>) -> Result<Fetched, FetchError> {
        let ask = Ask {
            get: &post.to,
            body: Some(post.body),
        };
        self.ask(dns, ask).await
    }

    async fn ask(&self, dns: &Dns, ask: Ask<'_>) -> Result<Fetched, FetchError> {
        let patience = ask.get.patience;
        let deadline = Instant::now() + patience;
        tokio::time::timeout_at(deadline, fetch(self, dns, ask, deadline))
            .await
            .unwrap_or(Err(FetchError::Timeout(patience)))
    }

    /// One GET at one of a name's addresses.
    pub async fn fetch_at(&self, address: SocketAddr, get: Get<'_>) -> Result<Fetched, FetchError> {
        let patience = get.patience;
        let deadline = Instant::now() + patience;
        let fetched = async {
            let host = get.url.host().ok_or(FetchError::Unfetchable)?;
            let (stream, address) = connect(self, &[address], deadline).await?;
            let ask = Ask { get: &get, body: None };
            exchange_securely(stream, address, (&host, &ask)).await
        };
        tokio::time::timeout_at(deadline, fetched)
            .await
            .unwrap_or(Err(FetchError::Timeout(patience)))
    }
}

async fn fetch(outbound: &Outbound, dns: &Dns, ask: Ask<'_>, deadline: Instant) -> Result<Fetched, FetchError> {
    let get = ask.get;
    let host = get.url.host().ok_or(FetchError::Unfetchable)?;
    if !matches!(get.url.scheme(), "http" | "https") {
        return Err(FetchError::Unfetchable);
    }
    let port = get.url.port_or_known_default().ok_or(FetchError::Unfetchable)?;
    if let Host::Domain(name) = host {
        outbound.permits_name(name).map_err(FetchError::Forbidden)?;
    }
    let addresses = addresses(dns, &host).await?;
    let sockets: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let (stream, address) = connect(outbound, &sockets, deadline).await?;
    exchange_securely(stream, address, (&host, &ask)).await
}

/// With TLS first, if the URL says so.
async fn exchange_securely(
    stream: TcpStream,
    address: SocketAddr,
    (host, ask): (&Host<&str>, &Ask<'_>),
) -> Result<Fetched, FetchError> {
    match ask.get.url.scheme() {
        "http" => exchange(stream, address, ask).await,
        "https" => {
            let connector = tls::connector(ask.get.roots).map_err(FetchError::Roots)?;
            let secured = connector.connect(server_name(host)?, stream).await;
            exchange(secured.map_err(FetchError::Tls)?, address, ask).await
        }
        _ => Err(FetchError::Unfetchable),
    }
}

async fn addresses(dns: &Dns, host: &Host<&str>) -> Result<Vec<IpAddr>, FetchError> {
    let name = match host {
        Host::Ipv4(ip) => return Ok(vec![(*ip).into()]),
        Host::Ipv6(ip) => return Ok(vec![(*ip).into()]),
        Host::Domain(name) => *name,
    };
    let found = dns.addresses(name).await;
    let failure = found.a.as_ref().err().or(found.aaaa.as_ref().err()).copied();
    let v4 = found.a.into_iter().flat_map(|found| found.records).map(IpAddr::from);
    let v6 = found.aaaa.into_iter().flat_map(|found| found.records).map(IpAddr::from);
    let addresses: Vec<_> = v4.chain(v6).take(MAX_ADDRESSES).collect();
    match failure {
        _ if !addresses.is_empty() => Ok(addresses),
        Some(failure) => Err(FetchError::Dns(name.to_owned(), failure)),
        None => Err(FetchError::NoAddress(name.to_owned())),
    }
}

async fn connect(
    outbound: &Outbound,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), FetchError> {
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        // One that says nothing leaves time for the others.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(1) + 1;
        let patience = deadline.saturating_duration_since(Instant::now()) / left;
        match outbound.connect(*address, patience).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => last = Some(FetchError::Connect(*address, error)),
        }
    }
    Err(last.unwrap_or(FetchError::Unfetchable))
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, FetchError> {
    match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(|_| FetchError::Unfetchable),
        Host::Ipv4(ip) => Ok(ServerName::from(IpAddr::from(*ip))),
        Host::Ipv6(ip) => Ok(ServerName::from(IpAddr::from(*ip))),
    }
}

async fn exchange<S>(stream: S, address: SocketAddr, ask: &Ask<'_>) -> Result<Fetched, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    let request = request(ask)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(FetchError::Http)?;
        let (head, body) = response.into_parts();
        Ok(Fetched {
            status: head.status,
            headers: head.headers,
            body: match &ask.body {
                None => read(body, ask.get.max_body).await?,
                Some(_) => read_start(body, ask.get.max_body).await?,
            },
            address,
        })
    };
    // What ends a connection is told to the answer as well.
    let connection = async {
        connection.await.ok();
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        answer = connection => answer,
    }
}

fn request(ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
    let get = ask.get;
    let host = match (get.url.host_str(), get.url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(FetchError::Unfetchable),
    };
    let target = &get.url[url::Position::BeforePath..url::Position::AfterQuery];
    let method = match ask.body {
        None => Method::GET,
        Some(_) => Method::POST,
    };
    let mut request = Request::builder().method(method).uri(target).header(HOST, host);
    for (name, value) in get.headers {
        request = request.header(name, value);
    }
    let body = Full::new(ask.body.clone().unwrap_or_default());
    request.body(body).map_err(|_| FetchError::Unfetchable)
}

/// As much of it as `max`; the rest is not waited for.
async fn read_start(mut body: hyper::body::Incoming, max: usize) -> Result<Bytes, FetchError> {
    let mut start = BytesMut::new();
    while start.len() < max
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame.map_err(FetchError::Http)?.into_data() {
            start.extend_from_slice(&data[..data.len().min(max - start.len())]);
        }
    }
    Ok(start.freeze())
}

async fn read(mut body: hyper::body::Incoming, max: usize) -> Result<Bytes, FetchError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(FetchError::TooLarge(max));
    }
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(FetchError::Http)?.into_data() {
            if whole.len() + data.len() > max {
                return Err(FetchError::TooLarge(max));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use std::{future::Future, sync::Arc};

    use hickory_resolver::proto::{
        op::Message,
        rr::{RData, Record, RecordType, rdata::A},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UdpSocket},
        task::JoinSet,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Something on loopback that listens; ends with the value.
    struct Listening {
        address: SocketAddr,
        _tasks: JoinSet<()>,
    }

    /// A server that reads one request's head, and does with the stream what `then` does.
    async fn server<F, S>(then: F) -> Listening
    where
        F: Fn(TcpStream, String) -> S + Send + 'static,
        S: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                then(stream, String::from_utf8(head).unwrap()).await;
            }
        });
        Listening { address, _tasks: tasks }
    }

    async fn says(bytes: impl AsRef<[u8]> + Clone + Send + Sync + 'static) -> Listening {
        server(move |mut stream, _| {
            let bytes = bytes.clone();
            async move {
                stream.write_all(bytes.as_ref()).await.ok();
            }
        })
        .await
    }

    /// A DNS server for which every name has these addresses.
    async fn names(addresses: Vec<[u8; 4]>) -> Listening {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
                let query = message.queries[0].clone();
                if query.query_type() == RecordType::A {
                    let record = |ip: &[u8; 4]| Record::from_rdata(query.name().clone(), 1, RData::A(A((*ip).into())));
                    message.insert_answers(addresses.iter().map(record).collect());
                }
                socket.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        Listening { address, _tasks: tasks }
    }

    fn outbound() -> Outbound {
        Outbound::new(vec!["127.0.0.0/8".parse().unwrap()], vec![])
    }

    async fn fetch(url: &str, dns: SocketAddr) -> Result<Fetched, FetchError> {
        let get = Get {
            url: &url.parse().unwrap(),
            headers: &[(http::header::ACCEPT, HeaderValue::from_static("application/json"))],
            max_body: 1000,
            patience: Duration::from_secs(1),
            roots: &[],
        };
        outbound().fetch(&Dns::new(&[dns]).unwrap(), get).await
    }

    async fn fetch_from(server: &Listening) -> Result<Fetched, FetchError> {
        fetch(&format!("http://{}/a?b=c", server.address), server.address).await
    }

    #[tokio::test]
    async fn an_answer_comes_whole_whatever_its_status() {
        let echo = server(|mut stream, head| async move {
            let answer = format!(
                "HTTP/1.1 404 Not Found\r\nx-a: 1\r\nContent-Length: {}\r\n\r\n{head}",
                head.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let fetched = fetch_from(&echo).await.unwrap();
        assert_eq!((fetched.status, fetched.address), (StatusCode::NOT_FOUND, echo.address));
        assert_eq!(fetched.headers["x-a"], "1");
        let head = format!(
            "GET /a?b=c HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\n\r\n",
            echo.address
        );
        assert_eq!(fetched.body, head);
        for (answer, expected) in [
            (
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
                "",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nup to the end", "up to the end"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nin \r\n6\r\nchunks\r\n0\r\n\r\n",
                "in chunks",
            ),
        ] {
            assert_eq!(fetch_from(&says(answer).await).await.unwrap().body, expected);
        }
    }

    #[tokio::test]
    async fn what_is_too_long_too_slow_or_not_http_is_an_error() {
        let long_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(3 * MAX_HEAD));
        let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1));
        for answer in [
            "",
            "SSH-2.0-OpenSSH_9\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            &long_header,
            &many_headers,
        ] {
            let result = fetch_from(&says(answer.to_owned()).await).await;
            assert!(matches!(result, Err(FetchError::Http(_))), "{answer:.40}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001));
        for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\nx", &endless] {
            let result = fetch_from(&says(answer.to_owned()).await).await;
            assert!(matches!(result, Err(FetchError::TooLarge(1000))), "{result:?}");
        }
        let drips = server(|mut stream, _| async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(b"x").await.is_ok() {
                tick.tick().await;
            }
        })
        .await;
        let result = fetch_from(&drips).await;
        assert!(matches!(result, Err(FetchError::Timeout(_))), "{result:?}");
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_and_its_addresses_are_tried_in_order() {
        let web = says("HTTP/1.1 204 No Content\r\n\r\n").await;
        let dns = names(vec![[169, 254, 169, 254], [127, 0, 0, 2], [127, 0, 0, 1]]).await;
        let url = format!("http://somebody.example:{}/", web.address.port());
        assert_eq!(fetch(&url, dns.address).await.unwrap().address, web.address);
        let inside = names(vec![[169, 254, 169, 254]]).await;
        let result = fetch(&url, inside.address).await;
        assert!(
            matches!(result, Err(FetchError::Connect(_, ConnectError::Forbidden(_)))),
            "{result:?}"
        );
        let none = names(vec![]).await;
        assert!(matches!(fetch(&url, none.address).await, Err(FetchError::NoAddress(_))));
        for url in ["ftp://127.0.0.1/", "data:,x"] {
            assert!(
                matches!(fetch(url, none.address).await, Err(FetchError::Unfetchable)),
                "{url}"
            );
        }
    }

    #[tokio::test]
    async fn a_certificate_is_checked_against_the_authorities_that_are_trusted() {
        let certified = rcgen::generate_simple_self_signed(["secure.example".to_owned()]).unwrap();
        let certificate = certified.cert.der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .await
                        .ok();
                    stream.shutdown().await.ok();
                }
            }
        });
        let dns = names(vec![[127, 0, 0, 1]]).await;
        let dns = Dns::new(&[dns.address]).map(|known| (known, dns)).unwrap();
        let roots = [certificate];
        for (host, roots, is_trusted) in [
            ("secure.example", &roots[..], true),
            ("other.example", &roots[..], false),
            ("secure.example", &[], false),
        ] {
            let get = Get {
                url: &format!("https://{host}:{port}/").parse().unwrap(),
                headers: &[],
                max_body: 10,
                patience: Duration::from_secs(5),
                roots,
            };
            let result = outbound().fetch(&dns.0, get).await;
            assert_eq!(
                matches!(&result, Ok(fetched) if fetched.body == "ok"),
                is_trusted,
                "{result:?}"
            );
            assert_eq!(matches!(&result, Err(FetchError::Tls(_))), !is_trusted, "{result:?}");
        }
    }
}
