//! The page of one domain, and what is done from there; and the page of whoever holds a share link.
mod delete;
mod draft;
mod live;
mod look;
mod policy_words;
mod rules;
mod servers;
mod set_up;
mod share;
mod shared;
mod show;
mod words;

use actix_web::{Resource, Route, web};
use sqlx::PgConnection;

use super::{fault::Fault, form, page};
use crate::{
    accounts::Scope,
    domains::{Domain, store},
    hostname::Hostname,
};

/// A hostname has a dot: nothing else below `/domains/` is taken for one.
macro_rules! below {
    ($rest:literal) => {
        concat!(r"/domains/{hostname:[^/]*\.[^/]*}", $rest)
    };
}

/// For members.
pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(page(below!(""), web::get().to(show::show)))
        .service(action(below!("/check"), web::post().to(look::check)))
        .service(form(
            below!("/rules"),
            web::get().to(rules::show),
            web::post().to(rules::submit),
        ))
        .service(action(below!("/share-links"), web::post().to(share::create)))
        .service(action(
            below!("/share-links/{id}/revoke"),
            web::post().to(share::revoke),
        ))
        .service(form(
            below!("/delete"),
            web::get().to(delete::show),
            web::post().to(delete::submit),
        ));
}

/// For whoever holds a link.
pub fn public_pages(config: &mut web::ServiceConfig) {
    config
        .service(page("/share/{token}", web::get().to(shared::show)))
        .service(page("/share/{token}/logo", web::get().to(shared::show_logo)));
}

/// What only changes something.
fn action(path: &str, post: Route) -> Resource {
    web::resource(path)
        .route(post)
        .default_service(web::to(|| async { Err::<&str, _>(Fault::WrongMethod("POST")) }))
}

/// The domain that a path names. One that the caller may not see is there for nobody.
async fn find(db: &mut PgConnection, scope: &Scope, hostname: &str) -> Result<Domain, Fault> {
    let hostname = Hostname::parse(hostname).map_err(|_| Fault::NoSuchPage)?;
    let found = store::find_by_hostname(db, scope, &hostname).await?;
    found.ok_or(Fault::NoSuchPage)
}

fn path_of(domain: &Domain) -> String {
    format!("/domains/{}", domain.hostname)
}
