//! Who is calling: a middleware around every operation, so that nothing behind it runs without a
//! caller. (As an extractor it would be polled together with the body, and a bad body would answer
//! first.)
use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};

use super::{Api, problem::Problem};
use crate::{
    accounts::{
        AccessError, Actor,
        token::{TokenText, store},
    },
    postgres::Availability,
    web::error::unless_read_only,
};

pub async fn authenticate(
    api: web::Data<Api>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match actor_of(&api, request.request()).await {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(error) => Ok(request.into_response(Problem::from(error).error_response())),
    }
}

async fn actor_of(api: &Api, request: &HttpRequest) -> Result<Actor, AccessError> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(AccessError::Unauthenticated)?;
    let (scheme, text) = header.split_once(' ').ok_or(AccessError::Unauthenticated)?;
    let token = TokenText::parse(text.trim())
        .filter(|_| scheme.eq_ignore_ascii_case("bearer"))
        .ok_or(AccessError::Unauthenticated)?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let actor = store::find_actor(&mut db, &token, now)
        .await?
        .ok_or(AccessError::Unauthenticated)?;
    let availability = request.app_data::<web::Data<Availability>>();
    if !availability.is_some_and(|availability| availability.is_read_only()) {
        unless_read_only(store::touch(&mut db, &actor, now).await)?;
    }
    Ok(actor)
}

/// `Actor` as a handler's argument. On a route without [`authenticate`] it is a 401.
impl FromRequest for Actor {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            request
                .extensions()
                .get::<Self>()
                .cloned()
                .ok_or_else(|| AccessError::Unauthenticated.into()),
        )
    }
}
