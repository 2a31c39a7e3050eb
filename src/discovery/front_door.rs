//! The first thing a request meets: which of our three faces it is for, by its own authority.
//!
//! A customer's domain is answered here and never reaches the routes of the portal; the portal's
//! routes never answer for a customer's domain.
use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    Error, HttpResponse,
    body::BoxBody,
    dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::StatusCode,
};
use futures_util::future::Either;

use super::{
    handler::{Discovery, WELL_KNOWN, not_found},
    hit::{Log, Logs},
    request::{self, Connection, Host, HostBuffer, Tls},
    validation::Validation,
};

/// Wraps the whole application of the public listeners.
#[derive(Clone)]
pub struct FrontDoor {
    pub discovery: Arc<Discovery>,
    pub logs: Arc<dyn Logs>,
    pub portal_host: Arc<str>,
    pub edge_host: Arc<str>,
    /// Where certificates come from a CA.
    pub validation: Option<Arc<Validation>>,
}

/// Whether we answer here, or the portal's routes do.
enum Face {
    Answered(HttpResponse),
    Portal,
}

impl FrontDoor {
    fn face(&self, head: &RequestHead, connection: &Connection, log: &dyn Log) -> Face {
        let mut buffer = HostBuffer::new();
        let host = match request::host(head, &mut buffer) {
            Ok(host) => host,
            Err(request::BadAuthority) => return self.refuse(StatusCode::BAD_REQUEST),
        };
        // RFC 9110 §7.4: a name that the certificate was not shown for is somebody else's.
        if connection.tls.as_ref().is_some_and(|tls| !is_for(tls, host)) {
            return self.refuse(StatusCode::MISDIRECTED_REQUEST);
        }
        let answered = |validation: &Arc<Validation>| validation.answer(head, host, connection.tls.is_none());
        if let Some(response) = self.validation.as_ref().and_then(answered) {
            return Face::Answered(response);
        }
        let path = head.uri.path();
        match host {
            Host::Name(name) if name == &*self.portal_host => Face::Portal,
            // A trial is often opened by address; no customer's domain can be one.
            Host::Address(address) if address.to_canonical().is_loopback() && connection.tls.is_none() => Face::Portal,
            Host::Name(name) if name == &*self.edge_host => Face::Answered(self.edge(head, path, connection, log)),
            Host::Name(name) if path == WELL_KNOWN => {
                Face::Answered(self.discovery.answer(head, name, connection, log))
            }
            Host::Name(name) => Face::Answered(self.discovery.website(name)),
            Host::Address(_) => Face::Answered(not_found()),
        }
    }

    /// `/d/<hostname>/.well-known/…`: what a customer's own web server redirects or proxies to. The
    /// domain is in the path, so that no forwarded header needs trust.
    fn edge(&self, head: &RequestHead, path: &str, connection: &Connection, log: &dyn Log) -> HttpResponse {
        let hostname = path
            .strip_prefix("/d/")
            .and_then(|rest| rest.strip_suffix(WELL_KNOWN))
            .filter(|name| !name.contains(':'));
        let mut buffer = HostBuffer::new();
        match hostname.map(|hostname| request::parse_host(hostname.as_bytes(), &mut buffer)) {
            Some(Ok(Host::Name(hostname))) => self.discovery.answer(head, hostname, connection, log),
            _ => not_found(),
        }
    }

    fn refuse(&self, status: StatusCode) -> Face {
        self.discovery.metrics.refused.inc();
        Face::Answered(HttpResponse::new(status))
    }
}

fn is_for(tls: &Tls, host: Host<'_>) -> bool {
    matches!(host, Host::Name(name) if name == &*tls.server_name)
}

impl<S> Transform<S, ServiceRequest> for FrontDoor
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = FrontDoorService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, portal: S) -> Self::Future {
        ready(Ok(FrontDoorService {
            door: self.clone(),
            log: self.logs.of_worker(),
            portal,
        }))
    }
}

pub struct FrontDoorService<S> {
    door: FrontDoor,
    log: Box<dyn Log>,
    portal: S,
}

const UNKNOWN_CONNECTION: &Connection = &Connection { peer: None, tls: None };

impl<S> Service<ServiceRequest> for FrontDoorService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Either<Ready<Result<Self::Response, Error>>, S::Future>;

    forward_ready!(portal);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let connection = request
            .request()
            .conn_data::<Connection>()
            .unwrap_or(UNKNOWN_CONNECTION);
        match self.door.face(request.head(), connection, &*self.log) {
            Face::Answered(response) => Either::Left(ready(Ok(request.into_response(response)))),
            Face::Portal => Either::Right(self.portal.call(request)),
        }
    }
}
