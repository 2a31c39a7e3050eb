//! From an accepted TCP connection to one that HTTP can be spoken on: permits, PROXY header, TLS handshake.
use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    fair_limit::Permit,
    proxy_header,
    stats::{CloseReason, ConnectionStats},
    stream::ClientStream,
};
use crate::discovery::{
    hit::Network,
    request::{Connection, Tls, TlsVersion},
};

/// For a PROXY header and a TLS handshake together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The kernel keeps this much of an answer that a client does not read (it doubles the number). Enough for 1 MiB a
/// second over 100 ms.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The kernel ends a connection whose peer acknowledges nothing for so long. A backstop only: a shorter one also cuts
/// off slow readers that make progress.
const TCP_USER_TIMEOUT_MILLISECONDS: u32 = 60_000;

/// The connection was closed: a bound was reached, or the client did not keep to the protocol.
#[derive(Debug)]
pub struct Closed;

/// Lets connections in, or closes them.
#[derive(Clone)]
pub struct Gate {
    pub stats: Arc<ConnectionStats>,
    pub peers: Arc<TrustedPeers>,
}

/// Peers that speak for others.
pub struct TrustedPeers {
    /// Their connections begin with a PROXY header.
    pub proxy_protocol: Vec<IpNet>,
    /// They name the sender of each request in a header; their connections are not counted by network.
    pub http_proxies: Vec<IpNet>,
}

/// TLS on a listener.
#[derive(Clone)]
pub struct TlsSettings {
    acceptor: TlsAcceptor,
    /// A connection that agrees on this protocol ends with its handshake (RFC 8737 §3).
    validation_protocol: Option<&'static [u8]>,
}

/// A connection that has a place, and whose first bytes were not read yet.
pub struct Pending {
    io: TcpStream,
    peer: IpAddr,
    permits: Permits,
    begins_with_proxy_header: bool,
}

struct Permits {
    connection: Permit,
    /// Until the PROXY header and the TLS handshake are complete.
    handshake: Option<Permit>,
}

impl TlsSettings {
    /// HTTP/2 is not offered (ADR 18).
    #[must_use]
    pub fn new(mut config: ServerConfig, validation_protocol: Option<&'static [u8]>) -> Self {
        let protocols = [&b"http/1.1"[..]].into_iter().chain(validation_protocol);
        config.alpn_protocols = protocols.map(<[u8]>::to_vec).collect();
        Self {
            acceptor: Arc::new(config).into(),
            validation_protocol,
        }
    }
}

impl Gate {
    /// Takes a place for a new connection, or closes it. Does not wait, so that a flood is turned away as fast as it
    /// arrives.
    pub fn admit(&self, io: TcpStream, is_tls: bool) -> Result<Pending, Closed> {
        let peer = io.peer_addr().map_err(|_| Closed)?.ip().to_canonical();
        let begins_with_proxy_header = self.peers.sends_proxy_header(peer);
        let network = match begins_with_proxy_header {
            true => None,
            false => self.peers.counted_network(peer),
        };
        Ok(Pending {
            io,
            peer,
            permits: self.permits(network, is_tls || begins_with_proxy_header)?,
            begins_with_proxy_header,
        })
    }

    fn permits(&self, network: Option<Network>, has_handshake: bool) -> Result<Permits, Closed> {
        let connection = self.stats.connections.try_acquire(network).map_err(|_| Closed)?;
        let handshake = has_handshake.then(|| self.stats.handshakes.try_acquire(network));
        Ok(Permits {
            connection,
            handshake: handshake.transpose().map_err(|_| Closed)?,
        })
    }

    /// Reads the PROXY header if there is to be one.
    pub async fn plain_stream(&self, pending: Pending) -> Result<ClientStream, Closed> {
        match timeout(HANDSHAKE_TIMEOUT, self.past_proxy_header(pending, false)).await {
            Ok(passed) => passed.map(|(stream, _)| stream),
            Err(_) => Err(self.close(CloseReason::ProxyHeader)),
        }
    }

    /// The same, and then the TLS handshake.
    pub async fn tls_stream(&self, pending: Pending, tls: &TlsSettings) -> Result<TlsStream<ClientStream>, Closed> {
        let handshake = async {
            let (stream, _permit) = self.past_proxy_header(pending, true).await?;
            tls.acceptor.accept(stream).await.map_err(|_| Closed)
        };
        let mut stream = timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .unwrap_or_else(|_| Err(self.close(CloseReason::HandshakeTimeout)))?;
        let protocol = stream.get_ref().1.alpn_protocol();
        if protocol.is_some() && protocol == tls.validation_protocol {
            // Should this fail, the client was first.
            let _ = stream.shutdown().await;
            return Err(Closed);
        }
        Ok(stream)
    }

    /// With the permit for a handshake that follows.
    async fn past_proxy_header(
        &self,
        pending: Pending,
        is_tls: bool,
    ) -> Result<(ClientStream, Option<Permit>), Closed> {
        let Pending {
            mut io,
            peer,
            mut permits,
            begins_with_proxy_header,
        } = pending;
        let (mut sender, mut unread) = (peer, BytesMut::new());
        if begins_with_proxy_header {
            let accepted = proxy_header::read(&mut io).await.map_err(|error| {
                tracing::debug!(event = "connection.proxy_header", %error, "closed a load balancer's connection");
                self.close(CloseReason::ProxyHeader)
            })?;
            unread = accepted.rest;
            if let Some(named) = accepted.sender {
                sender = named;
                // From now on the sender's network counts.
                drop(permits);
                permits = self.permits(self.peers.counted_network(named), is_tls)?;
            }
        }
        let stream = ClientStream::new(io, sender, unread, permits.connection, self.stats.clone());
        Ok((stream, permits.handshake))
    }

    fn close(&self, reason: CloseReason) -> Closed {
        self.stats.closed.count(reason);
        Closed
    }
}

impl TrustedPeers {
    /// For a listener on a private address.
    #[must_use]
    pub fn every_peer() -> Self {
        let every_address = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
        Self {
            proxy_protocol: Vec::new(),
            http_proxies: every_address.to_vec(),
        }
    }

    fn sends_proxy_header(&self, peer: IpAddr) -> bool {
        self.proxy_protocol.iter().any(|network| network.contains(&peer))
    }

    /// The network whose share a sender's connections take. `None`: a trusted HTTP proxy has no share of its own.
    fn counted_network(&self, sender: IpAddr) -> Option<Network> {
        let is_proxy = self.http_proxies.iter().any(|network| network.contains(&sender));
        (!is_proxy).then(|| Network::of(sender))
    }
}

/// What requests on a connection are checked against.
#[must_use]
pub fn plain_connection(stream: &ClientStream) -> Connection {
    Connection {
        peer: Some(stream.sender()),
        tls: None,
    }
}

/// The same for a connection with TLS.
#[must_use]
pub fn tls_connection(stream: &TlsStream<ClientStream>) -> Connection {
    let (client, session) = stream.get_ref();
    let version = if session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        TlsVersion::V1_3
    } else {
        TlsVersion::V1_2
    };
    Connection {
        peer: Some(client.sender()),
        tls: Some(Tls {
            server_name: session.server_name().unwrap_or_default().into(),
            version,
        }),
    }
}

/// Sets on a listening socket what each accepted one inherits.
pub fn bound_buffers(listener: &std::net::TcpListener) -> std::io::Result<()> {
    rustix::net::sockopt::set_socket_send_buffer_size(listener, SEND_BUFFER_BYTES)?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(listener, TCP_USER_TIMEOUT_MILLISECONDS)?;
    Ok(())
}
