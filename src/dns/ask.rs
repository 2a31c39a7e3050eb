//! One question to the DNS servers: over UDP, and over TCP where the answer does not fit. What the servers say is
//! handed on; only an answer that settles the question ends the asking.
use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    net::{
        NetError,
        runtime::TokioRuntimeProvider,
        tcp::TcpClientStream,
        udp::UdpClientStream,
        xfer::{DnsHandle, DnsRequestSender, FirstAnswer},
    },
    proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode},
};

use super::Failure;

/// A datagram gets lost: one that has no answer is sent again.
const SEND_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Enough for a second try, and for a second server; a dead first server leaves no time for more.
const MIN_TRIES: usize = 2;
const MAX_TRIES: usize = 4;

/// Asks one server after the other until one says what is so. Else the failure that tells most.
pub async fn any(servers: &[SocketAddr], query: &Query, patience: Duration) -> Result<DnsResponse, Failure> {
    let tries = servers.len().clamp(MIN_TRIES, MAX_TRIES);
    let mut worst = Failure::Unreachable;
    for server in servers.iter().cycle().take(tries) {
        match tokio::time::timeout(patience, one(*server, query, patience)).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(failure)) => worst = worst.max(failure),
            Err(_) => worst = worst.max(Failure::Timeout),
        }
    }
    Err(worst)
}

async fn one(server: SocketAddr, query: &Query, patience: Duration) -> Result<DnsResponse, Failure> {
    let mut options = DnsRequestOptions::default();
    options.retry_interval = SEND_AGAIN_AFTER;
    let request = DnsRequest::from_query(query.clone(), options);
    let response = over_udp(server, request.clone(), patience).await.map_err(failure)?;
    let response = match response.truncation {
        true => over_tcp(server, request, patience).await.map_err(failure)?,
        false => response,
    };
    match response.response_code {
        // Which of the two it is, and of which name, stands in the answer.
        ResponseCode::NoError | ResponseCode::NXDomain if !response.truncation => Ok(response),
        ResponseCode::Refused | ResponseCode::NotAuth => Err(Failure::Refused),
        ResponseCode::NoError | ResponseCode::NXDomain => Err(Failure::Unreadable),
        _ => Err(Failure::ServerFailure),
    }
}

async fn over_udp(server: SocketAddr, request: DnsRequest, patience: Duration) -> Result<DnsResponse, NetError> {
    UdpClientStream::builder(server, TokioRuntimeProvider::new())
        .with_timeout(Some(patience))
        .build()
        .send_message(request)
        .first_answer()
        .await
}

async fn over_tcp(server: SocketAddr, request: DnsRequest, patience: Duration) -> Result<DnsResponse, NetError> {
    // Holds the connection's task, which ends with it.
    let provider = TokioRuntimeProvider::new();
    let exchange = TcpClientStream::exchange(server, None, patience, None, provider.clone()).await?;
    exchange.send(request).first_answer().await
}

fn failure(error: NetError) -> Failure {
    match error {
        NetError::Timeout => Failure::Timeout,
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => Failure::Unreachable,
        _ => Failure::Unreadable,
    }
}
