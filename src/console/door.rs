//! Who is signed in: looked at before any page of a member's is drawn.
use actix_web::{
    FromRequest, HttpMessage, HttpRequest, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web,
};

use super::{
    Console,
    browser::Browser,
    fault::Fault,
    form::{self, Form},
    page,
};
use crate::{
    accounts::{Member, sessions},
    postgres::Availability,
    web::error::unless_read_only,
};

/// Lets members through to their pages. Others are sent to the sign-in, and what they had typed is shown to them.
pub async fn authenticate(
    console: web::Data<Console>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if request.request().match_pattern().is_none() {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    match member(request.request(), &console).await {
        Ok(Some(member)) => {
            request.extensions_mut().insert(member);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Ok(None) if matches!(*request.method(), Method::GET | Method::HEAD) => {
            let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let wanted: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
            Ok(request.into_response(page::go_to(&format!("/sign-in?next={wanted}"))))
        }
        Ok(None) => {
            let payload = request.take_payload();
            let read = Form::read_unproved(request.request(), payload, form::LIMIT).await;
            let fault = Fault::SignedOut(read.map(|form| form.typed()).unwrap_or_default());
            Ok(request.into_response(fault.error_response()))
        }
        Err(fault) => Ok(request.into_response(fault.error_response())),
    }
}

/// The member whose browser this is; `None`: nobody is signed in.
pub async fn member(request: &HttpRequest, console: &Console) -> Result<Option<Member>, Fault> {
    let Some(secret) = Browser::session(request) else {
        return Ok(None);
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let Some(found) = sessions::store::find(&mut db, &secret, now).await? else {
        return Ok(None);
    };
    if !found.is_authenticated {
        return Ok(None);
    }
    if found.is_suspended {
        return Err(Fault::Suspended);
    }
    let availability = request.app_data::<web::Data<Availability>>();
    if !availability.is_some_and(|availability| availability.is_read_only()) {
        unless_read_only(sessions::store::touch(&mut db, found.member.session_id, now).await)?;
    }
    Ok(Some(found.member))
}

/// `Member` as a page's argument. On a page without `authenticate` nobody is signed in.
impl FromRequest for Member {
    type Error = Fault;
    type Future = std::future::Ready<Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let member = request.extensions().get::<Self>().cloned();
        std::future::ready(member.ok_or_else(|| Fault::SignedOut(Vec::new())))
    }
}
