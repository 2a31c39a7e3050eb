//! How often a token may call. Kept in memory by each node: a limit against runaway programs, not a price list.
use std::num::NonZeroU32;

use actix_web::{
    HttpMessage, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use uuid::Uuid;

use super::{Api, problem::Problem};
use crate::accounts::Actor;

/// Calls in [`WINDOW`] seconds. Registering ten thousand domains one by one fits.
const CALLS: NonZeroU32 = NonZeroU32::new(30_000).expect("not zero");
const WINDOW: u64 = 60;

type Limiter = RateLimiter<Uuid, DashMapStateStore<Uuid>, DefaultClock, StateInformationMiddleware>;

pub struct RateLimits {
    limiter: Limiter,
}

impl Default for RateLimits {
    fn default() -> Self {
        let quota = Quota::per_minute(CALLS);
        Self {
            limiter: RateLimiter::keyed(quota).with_middleware(),
        }
    }
}

impl RateLimits {
    /// Calls left, or the seconds to wait.
    fn check(&self, token_id: Uuid) -> Result<u32, u64> {
        let wait = |until: NotUntil<<DefaultClock as Clock>::Instant>| {
            until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
        };
        self.limiter
            .check_key(&token_id)
            .map(|state| state.remaining_burst_capacity())
            .map_err(wait)
    }

    /// Forgets tokens that have not called for a while.
    pub fn shrink(&self) {
        self.limiter.retain_recent();
    }
}

/// Answers 429 past the limit, and tells every caller where it stands (draft-ietf-httpapi-ratelimit-headers).
pub async fn limit(
    api: web::Data<Api>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let token_id = request
        .extensions()
        .get::<Actor>()
        .map(|actor| actor.token_id)
        .unwrap_or_default();
    let (left, mut response) = match api.limits.check(token_id) {
        Err(seconds) => (
            0,
            request.into_response(Problem::rate_limited(seconds).error_response()),
        ),
        Ok(left) => (left, next.call(request).await?.map_into_boxed_body()),
    };
    let headers = response.headers_mut();
    let mut insert = |name, text: String| {
        HeaderValue::from_str(&text).map(|value| headers.insert(HeaderName::from_static(name), value))
    };
    // Both texts are ASCII.
    let _ = insert("ratelimit-policy", format!("\"token\";q={CALLS};w={WINDOW}"));
    let _ = insert("ratelimit", format!("\"token\";r={left};t={WINDOW}"));
    Ok(response)
}
