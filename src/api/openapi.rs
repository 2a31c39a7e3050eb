//! The OpenAPI document: generated from the handlers, served, and committed as `docs/openapi.json`.
use std::{collections::BTreeMap, sync::OnceLock};

use actix_web::{App, HttpRequest, HttpResponse};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_actix_web::AppExt;

use super::problem::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Signpost",
        version = "1",
        description = "Hosted Apple enrollment discovery: register domains and MDM tenants, and see which devices asked.\n\nEvery operation needs `Authorization: Bearer sgp_…`. Errors are `application/problem+json` (RFC 9457).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "Domains", description = "The hostnames that people sign in with, and what devices are told there."),
        (name = "MDM servers", description = "Where devices enroll."),
        (name = "Clients", description = "An MSP's customers. Domains and MDM servers belong to one."),
        (name = "Requests", description = "What devices asked."),
        (name = "People", description = "Who may sign in to the organisation's console, and who is invited."),
        (name = "Webhooks", description = "What happens, told to your own programs (Standard Webhooks 1.0)."),
        (name = "Account", description = "The organisation itself, its tokens and its audit log."),
    ),
    modifiers(&Bearer),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description = "An API token of your organisation.";
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("sgp_…")
            .description(Some(description))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
        document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    }
}

/// The document, as text.
pub fn json() -> &'static str {
    static JSON: OnceLock<String> = OnceLock::new();
    JSON.get_or_init(|| {
        let (_, mut document) = App::new()
            .into_utoipa_app()
            .openapi(Document::openapi())
            .configure(super::routes)
            .split_for_parts();
        document.servers = None;
        let mut text = document
            .to_pretty_json()
            .expect("the document is made of texts and numbers");
        text.push('\n');
        text
    })
}

/// `GET /api/v1/openapi.json`
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(json())
}

/// For a path or a method that the API does not have.
pub async fn no_such_operation(request: HttpRequest) -> Problem {
    match request.match_pattern().and_then(|pattern| methods().get(&pattern)) {
        Some(allow) => Problem::method_not_allowed(allow),
        None => Problem::no_such_page(),
    }
}

/// Path pattern → the methods it has, as `Allow` lists them.
fn methods() -> &'static BTreeMap<String, String> {
    static METHODS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    METHODS.get_or_init(|| {
        let document: serde_json::Value = serde_json::from_str(json()).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        let methods = |item: &serde_json::Value| {
            let names = item.as_object().into_iter().flat_map(|item| item.keys());
            names.map(|name| name.to_uppercase()).collect::<Vec<_>>().join(", ")
        };
        paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
    })
}

/// The domain that examples show.
#[must_use]
pub fn domain_example() -> serde_json::Value {
    serde_json::json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "hostname": "contoso.com",
        "client_id": "01890a5d-ac96-774b-bcce-b302099a8058",
        "connection": "direct",
        "website_url": "https://www.contoso.com",
        "policy": {
            "default": {"action": "serve", "server_id": "01890a5d-ac96-774b-bcce-b302099a8059"},
            "rules": [{"when": {"model_families": ["Mac"], "users": ["*@eu.contoso.com"]}, "then": {"action": "reject", "message": "Ask IT first."}}],
        },
        "status": "pending_ownership",
        "next_action": {
            "code": "add_ownership_record",
            "actor": "client",
            "message": "Add a TXT record at your DNS host: name _signpost.contoso.com, value signpost-verification=Zm9vYmFyYmF6cXV4cXV1eGNvcmdl. It proves that the domain is yours.",
        },
        "warnings": [],
        "ownership": {
            "verified_at": null,
            "checked_at": null,
            "record": {"type": "TXT", "name": "_signpost.contoso.com", "value": "signpost-verification=Zm9vYmFyYmF6cXV4cXV1eGNvcmdl", "observed": []},
        },
        "dns": {"checked_at": null, "ok": null, "records": [{"type": "A", "name": "contoso.com", "expected": ["192.0.2.10"], "observed": [], "ok": null}]},
        "certificate": {"state": "none", "issuer": null, "not_before": null, "not_after": null, "renews_at": null, "renewal_explanation_url": null, "last_error": null, "failure": null, "next_attempt_at": null, "served": []},
        "created_at": "2026-11-01T09:00:00Z",
        "updated_at": "2026-11-01T09:00:00Z",
    })
}
