//! How many requests to the portal host (API, console) are answered at once: so many for the node, and a share of them
//! for one client network. Devices' requests are answered in memory and need no such bound.
//!
//! A request keeps its place until its answer is written, so that bodies being read and answers that are not taken are
//! bounded too. Behind a trusted proxy the sender counts that the proxy names.
use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use bytes::Bytes;

use crate::{
    api::problem::Problem,
    connections::fair_limit::{FairLimit, Permit, Refusal},
    console::{Console, fault::Fault},
    discovery::{
        hit::Network,
        request::{Connection, client},
    },
};

/// Requests of a node at once. The database's pool is far smaller; what is beyond it waits for a connection.
pub const MAX_PORTAL_REQUESTS: u32 = 1_024;

pub async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let network = sender(&request).map(Network::of);
    let acquired = request
        .app_data::<web::Data<FairLimit>>()
        .map(|limit| limit.clone().into_inner().try_acquire(network));
    let permit = match acquired.transpose() {
        Ok(permit) => permit,
        Err(refusal) => return Ok(refuse(request, refusal)),
    };
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| {
        BoxBody::new(PermittedBody {
            body: body.boxed(),
            _permit: permit,
        })
    }))
}

fn sender(request: &ServiceRequest) -> Option<std::net::IpAddr> {
    let connection = request.request().conn_data::<Connection>()?;
    let console = request.app_data::<web::Data<Console>>()?;
    client(request.head(), connection, &console.trusted_proxies)
}

fn refuse(request: ServiceRequest, refusal: Refusal) -> ServiceResponse<BoxBody> {
    const RETRY_AFTER_SECONDS: u64 = 1;
    let response = match (request.path().starts_with("/api/"), refusal) {
        (true, Refusal::Network) => Problem::rate_limited(RETRY_AFTER_SECONDS).error_response(),
        (true, Refusal::Node) => Problem::overloaded(RETRY_AFTER_SECONDS).error_response(),
        (false, Refusal::Network) => Fault::TooMany(RETRY_AFTER_SECONDS).error_response(),
        (false, Refusal::Node) => Fault::Busy.error_response(),
    };
    request.into_response(response)
}

/// A response body that keeps its request's place until it is sent or dropped.
struct PermittedBody {
    body: BoxBody,
    _permit: Option<Permit>,
}

impl MessageBody for PermittedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
