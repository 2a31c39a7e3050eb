//! The outermost layer of the portal host: gives each request an id, logs it once, and renders
//! problems. Logs the pattern of the path, never the path or the query: either may name a person.
use actix_web::{
    HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use tracing::Instrument;
use uuid::Uuid;

use super::problem::Problem;
use crate::{accounts::Actor, discovery::request::Connection, public_scheme::PublicScheme};

pub async fn with_request_id(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = Uuid::now_v7().to_string();
    let route = request
        .request()
        .match_pattern()
        .unwrap_or_else(|| "unknown".to_owned());
    let span =
        tracing::info_span!("request", id, method = %request.method(), route, organisation = tracing::field::Empty);
    let is_secure = is_secure(&request);
    // What can be got can be asked about (RFC 9110 §9.3.2); the listener leaves the body out.
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let is_api = request.path().starts_with("/api/");
    let started = tokio::time::Instant::now();
    // Layers answer with a problem instead of failing: a failure here would have no request to answer to.
    let response = next.call(request).instrument(span.clone()).await?.map_into_boxed_body();
    if let Some(actor) = response.request().extensions().get::<Actor>() {
        span.record("organisation", tracing::field::display(actor.organisation_id));
    }
    let mut response = render(response, &id);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // A page with forms has its own.
    if !headers.contains_key(header::REFERRER_POLICY) {
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    if is_secure {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    span.in_scope(|| {
        tracing::info!(
            status = response.status().as_u16(),
            seconds = started.elapsed().as_secs_f64(),
            "answered"
        )
    });
    Ok(response)
}

/// Whether browsers may be told to come by https only: where the world reaches the portal so, or where it is reached so
/// now.
fn is_secure(request: &ServiceRequest) -> bool {
    let scheme = request.app_data::<web::Data<PublicScheme>>();
    let connection = request.request().conn_data::<Connection>();
    scheme.is_some_and(|scheme| scheme.is_https()) || connection.is_some_and(|connection| connection.tls.is_some())
}

/// A problem, or an error of the framework that knows nothing of problems, becomes problem+json.
fn render(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    // A page for people is said already.
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let known = response.response().extensions().get::<Problem>().cloned();
    let problem = match (known, response.response().error(), response.status()) {
        (Some(problem), _, _) => problem,
        (None, Some(_), _) if is_page => return response,
        (None, Some(_), StatusCode::PAYLOAD_TOO_LARGE) => Problem::payload_too_large(super::body::LIMIT),
        (None, Some(_), status) if status.is_client_error() => Problem::no_such_page(),
        _ => return response,
    };
    let mut rendered = problem.respond(id);
    for (name, value) in response.headers() {
        if !rendered.headers().contains_key(name) && *name != header::CONTENT_LENGTH {
            rendered.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response.into_response(rendered)
}
