//! What the portal host does about its database: while this node knows that it is away, requests that need it are answered
//! 503 at once; and what a request learns of it by failing is reported to its watch.
use actix_web::{
    ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};

use crate::{api::problem::Problem, console::fault::Fault, postgres::Availability, web::error::DatabaseFailure};

/// Paths that are answered from memory.
const WITHOUT_DATABASE: [&str; 3] = ["/static/", "/docs", "/api/v1/openapi.json"];

pub async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let availability = request.app_data::<web::Data<Availability>>().cloned();
    let is_away = availability.as_ref().is_some_and(|availability| availability.is_away());
    if is_away && !WITHOUT_DATABASE.iter().any(|path| request.path().starts_with(path)) {
        return Ok(refuse(request));
    }
    let response = next.call(request).await?.map_into_boxed_body();
    let failure = response.response().extensions().get::<DatabaseFailure>().cloned();
    if let (Some(availability), Some(failure)) = (availability, failure) {
        tracing::debug!(error = failure.error, "a request failed because of the database");
        availability.report(failure.fault, &failure.error);
    }
    Ok(response)
}

fn refuse(request: ServiceRequest) -> ServiceResponse<BoxBody> {
    let response = match request.path().starts_with("/api/") {
        true => Problem::database_away().error_response(),
        false => Fault::DatabaseAway.error_response(),
    };
    request.into_response(response)
}
