//! REST for programs: JSON shapes, authentication, what each failure is called. No SQL and no rules
//! here: a handler parses, calls, and answers.
//!
//! A new endpoint is a store function, a handler, one line in [`routes`], a test.
pub mod audit_events;
pub mod auth;
mod author_body;
pub mod body;
pub mod certificate_body;
mod checks;
pub mod clients;
pub mod docs;
pub mod documents;
pub mod domain_body;
pub mod domains;
pub mod erasures;
pub mod exports;
mod failures;
pub mod idempotency;
pub mod imports;
pub mod invitations;
pub mod mdm_servers;
pub mod me;
pub mod members;
pub mod openapi;
pub mod organisations;
pub mod page;
pub mod previews;
mod probes;
pub mod problem;
pub mod rate_limit;
pub mod request_id;
pub mod requests;
pub mod setups;
pub mod share_links;
pub mod single_sign_on;
pub mod tenants;
pub mod tokens;
pub mod vendors;
pub mod webhook_deliveries;
pub mod webhook_endpoints;

use std::sync::Arc;

use actix_web::{Resource, Route, middleware::from_fn, web};
use sqlx::PgPool;
use tokio::sync::Notify;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    accounts::single_sign_on::MailDomains,
    domains::{RegistrationRules, checks::Checker, probes::Probes},
    entra::Entra,
    oidc::Oidc,
    sealed::Keyring,
};
use problem::Problem;
use rate_limit::RateLimits;

/// What handlers share.
pub struct Api {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub registration_rules: RegistrationRules,
    /// Looks at domains, and knows what must be seen.
    pub checker: Arc<Checker>,
    /// Told when a look is due at once.
    pub check_wanted: Arc<Notify>,
    /// Where people find the portal, without a slash at the end: links are made of it, and never of a request.
    pub portal_url: String,
    /// The file with our own CA's root, on trial.
    pub trial_root: Option<String>,
    pub limits: RateLimits,
    pub entra: Entra,
    /// Asks organisations' own providers what they are.
    pub oidc: Oidc,
    /// Looks up the TXT records of mail domains.
    pub mail_domains: Arc<MailDomains>,
    pub probes: Arc<Probes>,
}

/// Every operation, one line each. What is listed here is what OpenAPI shows. A path that could be read as
/// `…/{id}` is followed by a line that keeps its wrong methods from being taken for calls with that id.
pub fn routes(config: &mut ServiceConfig) {
    config.service(
        utoipa_actix_web::scope("/api/v1")
            .service(me::me)
            .service(vendors::list_vendors)
            .service(tenants::look_up_intune_tenant)
            .service(clients::list_clients)
            .service(clients::create_client)
            .service(clients::find_client)
            .service(clients::update_client)
            .service(clients::delete_client)
            .service(mdm_servers::list_mdm_servers)
            .service(mdm_servers::create_mdm_server)
            .service(documents::parse_document)
            .route("/mdm-servers/parse", web::to(openapi::no_such_operation))
            .service(mdm_servers::find_mdm_server)
            .service(mdm_servers::update_mdm_server)
            .service(mdm_servers::delete_mdm_server)
            .service(domains::list_domains)
            .service(domains::create_domain)
            .service(imports::import_domains)
            .route("/domains/import", web::to(openapi::no_such_operation))
            .service(domains::find_domain)
            .service(domains::update_domain)
            .service(domains::delete_domain)
            .service(checks::check_domain)
            .service(previews::preview_domain)
            .service(share_links::list_share_links)
            .service(share_links::create_share_link)
            .service(share_links::delete_share_link)
            .service(probes::probe_domain)
            .service(setups::show_setup)
            .service(requests::summarise_requests)
            .service(requests::list_requests)
            .service(erasures::erase_requests)
            .service(erasures::list_erasures)
            .service(tokens::list_tokens)
            .service(tokens::create_token)
            .service(tokens::delete_token)
            .service(members::list_members)
            .service(members::update_member)
            .service(members::delete_member)
            .service(invitations::list_invitations)
            .service(invitations::create_invitation)
            .service(invitations::delete_invitation)
            .service(invitations::resend_invitation)
            .service(webhook_endpoints::list_webhook_endpoints)
            .service(webhook_endpoints::create_webhook_endpoint)
            .service(webhook_endpoints::find_webhook_endpoint)
            .service(webhook_endpoints::update_webhook_endpoint)
            .service(webhook_endpoints::delete_webhook_endpoint)
            .service(webhook_deliveries::test_webhook_endpoint)
            .service(webhook_deliveries::rotate_webhook_secret)
            .service(webhook_deliveries::list_webhook_deliveries)
            .service(webhook_deliveries::replay_webhook_delivery)
            .service(single_sign_on::find_single_sign_on)
            .service(single_sign_on::put_single_sign_on)
            .service(single_sign_on::delete_single_sign_on)
            .service(single_sign_on::check_single_sign_on)
            .service(audit_events::list_audit_events)
            .service(organisations::find_organisation)
            .service(organisations::update_organisation)
            .service(organisations::put_logo)
            .service(organisations::delete_logo)
            .map(|scope| {
                scope
                    .default_service(web::to(openapi::no_such_operation))
                    .wrap(from_fn(idempotency::replay))
                    .wrap(from_fn(rate_limit::limit))
                    .wrap(from_fn(auth::authenticate))
            }),
    );
}

/// What the portal host answers besides the API. Comes before [`routes`], whose scope takes every path below it.
pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(page("/api/v1/openapi.json", web::get().to(openapi::document)))
        .service(page("/docs", web::get().to(docs::page)))
        .service(page(share_links::SHARED, web::get().to(share_links::open)));
}

fn page(path: &str, get: Route) -> Resource {
    let wrong_method = || async { Problem::method_not_allowed("GET, HEAD") };
    web::resource(path).route(get).default_service(web::to(wrong_method))
}
