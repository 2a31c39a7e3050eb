//! HTML for people: pages, forms, sessions. No SQL and no rules here: a page parses, calls, and answers. Every page
//! works without a script, every change is a POST that answers 303, and a form that is refused comes back as it was
//! typed.
//!
//! A new page is a store function, a handler with its template, one line in [`pages`] or [`public_pages`], a test.
mod assets;
pub mod attempts;
pub mod browser;
mod confirm;
mod domain;
mod door;
pub mod fault;
pub mod form;
mod invitation;
mod operator;
mod overview;
pub mod page;
mod passkey_sign_in;
mod password;
pub mod plots;
mod reauthentication;
mod registry;
mod requests;
mod second_factor;
mod security;
mod sender;
mod sent_mails;
mod settings;
mod sign_in;
mod sign_up;
mod single_sign_on;
mod single_sign_on_words;
mod statuses;
mod upload;
mod webhooks;

use std::sync::Arc;

use actix_web::{Resource, Route, middleware::from_fn, web};
use ipnet::IpNet;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::{
    accounts::single_sign_on::MailDomains,
    domains::{RegistrationRules, checks::Checker, probes::Probes, standing::Standings},
    entra::Entra,
    oidc::Oidc,
    passwords::Passwords,
    sealed::Keyring,
};
pub use assets::version;
use attempts::Attempts;
use fault::Fault;
pub use registry::words::{column, count, sentence};

/// What pages share.
pub struct Console {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub passwords: Passwords,
    pub attempts: Attempts,
    /// Looks at domains, and knows what must be seen.
    pub checker: Arc<Checker>,
    /// Told when a look is due at once.
    pub check_wanted: Arc<Notify>,
    pub probes: Arc<Probes>,
    /// The file with our own CA's root, on trial.
    pub trial_root: Option<String>,
    /// Where people find the portal, without a slash at the end: links in mails are made of it, and never of a request.
    pub portal_url: String,
    pub registration_rules: RegistrationRules,
    pub entra: Entra,
    /// Asks organisations' own providers who somebody is.
    pub oidc: Oidc,
    /// Looks up the TXT records of mail domains.
    pub mail_domains: Arc<MailDomains>,
    pub may_register: bool,
    /// On a demo server without a mail server, mails are shown.
    pub shows_mails: bool,
    pub trusted_proxies: Vec<IpNet>,
    pub standings: Standings,
}

/// Pages that need no account.
pub fn public_pages(config: &mut web::ServiceConfig) {
    config
        .service(page("/static/{file}", web::get().to(assets::file)))
        .service(page("/", web::get().to(overview::show)))
        .service(form(
            "/sign-up",
            web::get().to(sign_up::show),
            web::post().to(sign_up::submit),
        ))
        .service(page("/sign-up/sent", web::get().to(sign_up::sent)))
        .service(form(
            "/sign-up/confirm/{token}",
            web::get().to(confirm::show),
            web::post().to(confirm::submit),
        ))
        .service(form(
            "/sign-in",
            web::get().to(sign_in::show),
            web::post().to(sign_in::submit),
        ))
        .service(form(
            "/sign-in/second-factor",
            web::get().to(second_factor::show),
            web::post().to(second_factor::submit),
        ))
        .service(form(
            "/sign-in/passkey",
            web::get().to(|| async { page::go_to("/sign-in") }),
            web::post().to(passkey_sign_in::submit),
        ))
        .service(form(
            "/sign-in/passkey/challenge",
            web::get().to(|| async { page::go_to("/sign-in") }),
            web::post().to(passkey_sign_in::challenge),
        ))
        .service(form(
            "/sign-in/single-sign-on",
            web::get().to(single_sign_on::show),
            web::post().to(single_sign_on::submit),
        ))
        .service(page(
            "/sign-in/single-sign-on/callback",
            web::get().to(single_sign_on::callback),
        ))
        .service(form(
            "/sign-out",
            web::get().to(sign_in::show_sign_out),
            web::post().to(sign_in::sign_out),
        ))
        .service(form(
            "/password/forgotten",
            web::get().to(password::show),
            web::post().to(password::submit),
        ))
        .service(page("/password/sent", web::get().to(password::sent)))
        .service(form(
            "/password/new/{token}",
            web::get().to(password::show_new),
            web::post().to(password::set_new),
        ))
        .service(form(
            "/invitations/{token}",
            web::get().to(invitation::show),
            web::post().to(invitation::submit),
        ))
        .service(page("/mails", web::get().to(sent_mails::show)))
        .configure(domain::public_pages);
}

/// Pages for whoever is signed in. Comes last: its scope takes every path that nobody else took.
pub fn pages(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("")
            .configure(settings::pages)
            .configure(domain::pages)
            .configure(operator::pages)
            .configure(registry::pages)
            .configure(requests::pages)
            .configure(security::pages)
            .configure(webhooks::pages)
            .default_service(web::to(|| async { Err::<&str, _>(Fault::NoSuchPage) }))
            .wrap(from_fn(door::authenticate)),
    );
}

fn page(path: &str, get: Route) -> Resource {
    web::resource(path)
        .route(get)
        .default_service(web::to(|| async { Err::<&str, _>(Fault::WrongMethod("GET, HEAD")) }))
}

fn form(path: &str, get: Route, post: Route) -> Resource {
    let wrong_method = || async { Err::<&str, _>(Fault::WrongMethod("GET, HEAD, POST")) };
    web::resource(path)
        .route(get)
        .route(post)
        .default_service(web::to(wrong_method))
}
