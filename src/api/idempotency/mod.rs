//! `Idempotency-Key`: a POST that is sent again within 24 hours gets the first answer again.
//!
//! The key is written down before the operation runs, so that two requests at once do not both run.
//! The stored answer is sealed: it may hold a token that is shown once.
pub mod store;

use actix_web::{
    HttpMessage, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument;
use uuid::Uuid;

use super::{Api, body, problem::Problem};
use crate::{accounts::Actor, clock, input::FieldError};
use store::{Claim, Key};

/// How long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);
/// A request that took longer than this died with its node: the key may be used again.
const ABANDONED: TimeDelta = TimeDelta::minutes(2);

pub async fn replay(
    api: web::Data<Api>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let token_id = request.extensions().get::<Actor>().map(|actor| actor.token_id);
    let header = request
        .headers()
        .get("idempotency-key")
        .filter(|_| request.method() == Method::POST)
        .cloned();
    let (Some(header), Some(token_id)) = (header, token_id) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let key = match parse(&header) {
        Ok(key) => Key { token_id, key },
        Err(problem) => return Ok(request.into_response(problem.error_response())),
    };
    match answered(&api, &key, &mut request).await {
        Ok(First::Answered(answer)) => Ok(request.into_response(answer)),
        Ok(First::Runs(claimed_at)) => run_to_the_end(api, (key, claimed_at), request, next).await,
        Err(problem) => Ok(request.into_response(problem.error_response())),
    }
}

/// What became of the first request with a key.
enum First {
    Answered(HttpResponse),
    /// This is the first one. Its claim counts from this time.
    Runs(DateTime<Utc>),
}

async fn answered(api: &Api, key: &Key, request: &mut ServiceRequest) -> Result<First, Problem> {
    let request_digest = digest_body(request).await?;
    match claim(api, key, &request_digest).await? {
        Claim::New(claimed_at) => Ok(First::Runs(claimed_at)),
        Claim::Done { status, answer_sealed } => {
            let answer = api.keyring.open(&context(key), &answer_sealed)?;
            Ok(First::Answered(replayed(status, answer)))
        }
        Claim::Busy => Err(Problem::conflict(
            "A request with this Idempotency-Key is still at work. Try again in a moment.",
        )),
        Claim::OtherRequest => {
            let detail =
                "This Idempotency-Key was used for another request within 24 hours. Use a new key for a new request.";
            Err(Problem::invalid(vec![FieldError::new("", detail)]))
        }
    }
}

fn parse(header: &HeaderValue) -> Result<String, Problem> {
    let text = header.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
    text.map(ToOwned::to_owned).ok_or_else(|| {
        Problem::invalid(vec![FieldError::new(
            "",
            "An Idempotency-Key has 1 to 255 printable ASCII characters.",
        )])
    })
}

/// Of method, path and body; the body is put back.
async fn digest_body(request: &mut ServiceRequest) -> Result<Vec<u8>, Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let bytes = body::read_at_most(request.take_payload(), announced, super::imports::LIMIT)
        .await?
        .freeze();
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(request.path().as_bytes());
    context.update(b"\n");
    context.update(&bytes);
    request.set_payload(Payload::from(bytes));
    Ok(context.finish().as_ref().to_vec())
}

async fn claim(api: &Api, key: &Key, request_digest: &[u8]) -> Result<Claim, Problem> {
    let (mut db, now) = clock::acquire(&api.pool).await?;
    Ok(store::claim(&mut db, key, request_digest, now - ABANDONED, now - KEPT).await?)
}

/// Also if the caller leaves meanwhile, which drops the handler of any other request: what was done must be stored with
/// its key, or the caller's second attempt would do it again.
async fn run_to_the_end(
    api: web::Data<Api>,
    (key, claimed_at): (Key, DateTime<Utc>),
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let running = async move { run(&api, (&key, claimed_at), request, next).await };
    match actix_web::rt::spawn(running.in_current_span()).await {
        Ok(response) => response,
        // Nothing aborts it.
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

async fn run(
    api: &Api,
    claim: (&Key, DateTime<Utc>),
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let (request, response) = next.call(request).await?.map_into_boxed_body().into_parts();
    let kept = keep(api, claim, response).await;
    Ok(ServiceResponse::new(
        request,
        kept.unwrap_or_else(|problem| problem.error_response()),
    ))
}

/// Only what was done is worth repeating: after a refusal or a failure the caller may mend and try again.
async fn keep(
    api: &Api,
    (key, claimed_at): (&Key, DateTime<Utc>),
    response: HttpResponse,
) -> Result<HttpResponse, Problem> {
    let mut db = api.pool.acquire().await?;
    if !response.status().is_success() {
        store::release(&mut db, key, claimed_at).await?;
        return Ok(response);
    }
    let status = response.status().as_u16();
    let (head, answer) = response.into_parts();
    let answer = to_bytes(answer).await.unwrap_or_default();
    let sealed = api.keyring.seal(&context(key), &answer);
    if !store::complete(&mut db, key, claimed_at, (status, &sealed)).await? {
        tracing::warn!(
            event = "api.idempotency_claim_lost",
            "a request took so long that another one with its Idempotency-Key was run: its answer is not kept"
        );
    }
    Ok(head.set_body(BoxBody::new(answer)))
}

fn replayed(status: u16, answer: Vec<u8>) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    response.insert_header((HeaderName::from_static("idempotency-replayed"), "true"));
    if answer.is_empty() {
        response.finish()
    } else {
        response.content_type("application/json").body(answer)
    }
}

fn context(key: &Key) -> String {
    answer_context(key.token_id, &key.key)
}

/// What a stored answer is bound to.
#[must_use]
pub fn answer_context(token_id: Uuid, key: &str) -> String {
    format!("idempotency_keys.answer:{token_id}:{key}")
}
