//! A discovery request in, an answer and one [`Hit`] out.
use std::{fmt::Write, time::Instant};

use actix_web::{
    HttpResponse,
    dev::RequestHead,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use ipnet::IpNet;
use uuid::Uuid;

use super::{
    directory::{Directory, Entry},
    hit::{About, Hit, Log, Network, Outcome, Stranger},
    metrics::Metrics,
    policy::{Action, Answer, Choice, Matched},
    query::{Asked, ModelFamily, Query},
    request::{Connection, client},
};

use crate::own_checks::{self, OwnChecks};

/// Where a device asks. [Apple, "Discover authentication servers"]
pub const WELL_KNOWN: &str = "/.well-known/com.apple.remotemanagement";

/// What the workers share.
pub struct Discovery {
    pub directory: Directory,
    pub metrics: Metrics,
    /// Only these may say in `X-Forwarded-For` whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests of our own installation are answered and not logged.
    pub own_checks: OwnChecks,
}

impl Discovery {
    /// The answer to a request for [`WELL_KNOWN`] of `host`. `log` has been told of it.
    pub fn answer(&self, head: &RequestHead, host: &str, connection: &Connection, log: &dyn Log) -> HttpResponse {
        let started = Instant::now();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            self.metrics.refused.inc();
            return method_not_allowed();
        }
        let query = head.uri.query().unwrap_or_default();
        let parsed = Query::parse(query);
        let about = || self.about(head, connection, parsed.asked);
        let is_own_check = self.is_own_check(head, host);
        let response = match self.directory.find(host) {
            None if !self.directory.is_filled() => {
                self.metrics.refused.inc();
                return unfilled();
            }
            None if is_own_check => not_found(),
            None => {
                log.stranger(&Stranger {
                    about: about(),
                    hostname: host,
                });
                self.metrics.count(Outcome::UnknownDomain, parsed.asked);
                not_found()
            }
            Some(entry) => {
                let decision = decide(&entry, parsed.asked.family(), parsed.user());
                let response = decision.to_response(query);
                if decision.is_step_limit_reached {
                    self.metrics.policy_step_limit.inc();
                }
                if is_own_check {
                    return response;
                }
                self.metrics.count(decision.outcome, parsed.asked);
                let user = parsed.user().map(|user| entry.organisation.digest(user));
                let (outcome, status, server_id) = (decision.outcome, decision.status.as_u16(), decision.server_id);
                log.hit(&Hit {
                    about: about(),
                    entry: &entry,
                    user,
                    outcome,
                    status,
                    server_id,
                });
                response
            }
        };
        self.metrics.latency.observe(started.elapsed().as_secs_f64());
        response
    }

    /// The answer to every other path of a customer's domain.
    pub fn website(&self, host: &str) -> HttpResponse {
        match self
            .directory
            .find(host)
            .as_ref()
            .and_then(|entry| entry.website_url.as_deref())
        {
            Some(url) => HttpResponse::PermanentRedirect()
                .insert_header((header::LOCATION, url))
                .finish(),
            None if !self.directory.is_filled() => unfilled(),
            None => not_found(),
        }
    }

    fn is_own_check(&self, head: &RequestHead, host: &str) -> bool {
        let value = head.headers.get(HeaderName::from_static(own_checks::HEADER));
        value.is_some_and(|value| {
            let now = now().timestamp();
            self.own_checks.is_own(value.as_bytes(), host, now)
        })
    }

    fn about<'a>(&self, head: &'a RequestHead, connection: &Connection, asked: Asked) -> About<'a> {
        let user_agent = head
            .headers
            .get(header::USER_AGENT)
            .map_or(&[][..], HeaderValue::as_bytes);
        About {
            at: now().timestamp_micros(),
            asked,
            user_agent,
            network: client(head, connection, &self.trusted_proxies).map_or(Network::Unknown, Network::of),
            tls: connection.tls.as_ref().map(|tls| tls.version),
        }
    }
}

/// A device is answered, and its request logged, by the clock of this node.
#[expect(clippy::disallowed_methods, reason = "the hot path asks no database")]
fn now() -> chrono::DateTime<chrono::Utc> {
    crate::clock::now()
}

/// What a device is told, and why.
pub struct Decision<'e> {
    pub outcome: Outcome,
    pub status: StatusCode,
    pub body: Option<&'e Bytes>,
    pub location: Option<&'e str>,
    pub server_id: Option<Uuid>,
    pub matched: Matched,
    /// See [`Choice::is_step_limit_reached`].
    pub is_step_limit_reached: bool,
}

/// The decision for one request: pure, so that a preview shows exactly what a device gets.
#[must_use]
pub fn decide<'e>(entry: &'e Entry, family: Option<ModelFamily>, user: Option<&[u8]>) -> Decision<'e> {
    let Choice {
        action,
        matched,
        is_step_limit_reached,
    } = entry.policy.choose(family, user);
    let base = Decision {
        outcome: Outcome::Deferred,
        status: StatusCode::NOT_FOUND,
        body: None,
        location: None,
        server_id: None,
        matched,
        is_step_limit_reached,
    };
    match action {
        Action::Serve { server_id, answer } => {
            let base = Decision {
                outcome: Outcome::Served,
                status: StatusCode::OK,
                server_id: Some(*server_id),
                ..base
            };
            match answer {
                Answer::Document(body) => Decision {
                    body: Some(body),
                    ..base
                },
                Answer::PerFamily(bodies) => Decision {
                    body: Some(&bodies[family.map_or(ModelFamily::ALL.len(), |family| family as usize)]),
                    ..base
                },
                Answer::Redirect { url } => Decision {
                    outcome: Outcome::Redirected,
                    status: StatusCode::TEMPORARY_REDIRECT,
                    location: Some(url),
                    ..base
                },
            }
        }
        Action::Reject { body } => Decision {
            outcome: Outcome::Rejected,
            status: StatusCode::FORBIDDEN,
            body: Some(body),
            ..base
        },
        Action::Defer => base,
        Action::Redirect { url } => Decision {
            outcome: Outcome::Redirected,
            status: StatusCode::TEMPORARY_REDIRECT,
            location: Some(url),
            ..base
        },
    }
}

impl Decision<'_> {
    /// `query` is added to a redirect: the device does not do it. [Apple, same page]
    fn to_response(&self, query: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(url) = self.location {
            return response
                .insert_header((header::LOCATION, with_query(url, query)))
                .finish();
        }
        match self.body {
            Some(body) => response
                .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
                .body(body.clone()),
            None => response.finish(),
        }
    }
}

/// `url` with `query` added. Bytes that no URI may hold are encoded: the result stands in a header.
#[must_use]
pub fn with_query(url: &str, query: &str) -> String {
    let mut whole = String::with_capacity(url.len() + 1 + query.len());
    whole.push_str(url);
    if !query.is_empty() {
        whole.push(if url.contains('?') { '&' } else { '?' });
    }
    push_encoded(&mut whole, query);
    whole
}

/// Bytes that no URI may hold are encoded, all others are left as they are.
pub(super) fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => url.push(char::from(byte)),
            _ => write!(url, "%{byte:02X}").expect("a String takes every write"),
        }
    }
}

/// Tells nothing: an unknown domain, one not verified and one suspended look alike.
#[must_use]
pub fn not_found() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .finish()
}

/// Nobody can say yet whether the domain is known: come again.
fn unfilled() -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::RETRY_AFTER, HeaderValue::from_static("1")))
        .finish()
}

pub(super) fn method_not_allowed() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((header::ALLOW, HeaderValue::from_static("GET, HEAD")))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_the_query_and_stays_one_header() {
        for (url, query, expected) in [
            ("https://a.example/x", "", "https://a.example/x"),
            (
                "https://a.example/x",
                "user-identifier=a+b@c.example&model-family=Mac",
                "https://a.example/x?user-identifier=a+b@c.example&model-family=Mac",
            ),
            ("https://a.example/x?t=1", "m=%40", "https://a.example/x?t=1&m=%40"),
            (
                "https://a.example/x",
                "a=<é\">\\",
                "https://a.example/x?a=%3C%C3%A9%22%3E%5C",
            ),
        ] {
            assert_eq!(with_query(url, query), expected);
        }
    }
}
