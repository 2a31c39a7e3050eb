//! How often an organisation may call, all of its tokens together. Kept in memory by each node: a limit against runaway
//! programs, not a price list.
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
    DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
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

/// Look-ups at Microsoft Entra of one organisation, which throttles all of us.
const LOOKUPS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).expect("not zero");

type Limiter = RateLimiter<Uuid, DashMapStateStore<Uuid>, DefaultClock, StateInformationMiddleware>;

pub struct RateLimits {
    limiter: Limiter,
    lookups: DefaultKeyedRateLimiter<Uuid>,
}

impl Default for RateLimits {
    fn default() -> Self {
        let quota = Quota::per_minute(CALLS);
        Self {
            limiter: RateLimiter::keyed(quota).with_middleware(),
            lookups: RateLimiter::keyed(Quota::per_minute(LOOKUPS_PER_MINUTE)),
        }
    }
}

impl RateLimits {
    /// Calls left, or the seconds to wait.
    fn check(&self, organisation_id: Uuid) -> Result<u32, u64> {
        let wait = |until: NotUntil<<DefaultClock as Clock>::Instant>| {
            until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
        };
        self.limiter
            .check_key(&organisation_id)
            .map(|state| state.remaining_burst_capacity())
            .map_err(wait)
    }

    /// Takes one look-up of a tenant.
    pub fn take_lookup(&self, organisation_id: Uuid) -> Result<(), Problem> {
        self.lookups.check_key(&organisation_id).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::rate_limited(wait.as_secs() + 1)
        })
    }

    /// Forgets organisations that have not called for a while.
    pub fn shrink(&self) {
        self.limiter.retain_recent();
        self.lookups.retain_recent();
    }
}

/// Answers 429 past the limit, and tells every caller where it stands (draft-ietf-httpapi-ratelimit-headers).
pub async fn limit(
    api: web::Data<Api>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let organisation_id = request
        .extensions()
        .get::<Actor>()
        .map(|actor| actor.organisation_id)
        .unwrap_or_default();
    let (left, mut response) = match api.limits.check(organisation_id) {
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
    let _ = insert("ratelimit-policy", format!("\"organisation\";q={CALLS};w={WINDOW}"));
    let _ = insert("ratelimit", format!("\"organisation\";r={left};t={WINDOW}"));
    Ok(response)
}
