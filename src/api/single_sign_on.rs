//! The organisation's own OpenID provider. There is one at most.
use actix_web::{HttpResponse, delete, get, post, put, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, body::Body, problem::Problem};
use crate::{
    accounts::{
        Actor, Permission, Scope,
        role::Role,
        single_sign_on::{self, MailDomain, Provider, SingleSignOnError, Typed},
    },
    clock::DatabaseTime,
    input::FieldError,
};

#[derive(Serialize, ToSchema)]
pub struct SingleSignOnBody {
    #[schema(example = "https://accounts.google.com")]
    issuer: String,
    #[schema(example = "3f1c0a7e-signpost")]
    client_id: String,
    mail_domains: Vec<MailDomainBody>,
    /// What somebody becomes who is neither a member nor invited: `viewer` or `editor`. Null: they are not let in.
    new_member_role: Option<&'static str>,
    /// What the provider has to know.
    #[schema(example = "https://portal.signpost.example/sign-in/single-sign-on/callback")]
    redirect_uri: String,
    created_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
pub struct MailDomainBody {
    #[schema(example = "acme.example")]
    hostname: String,
    /// Whether people of the domain are signed in now.
    signs_in: bool,
    /// Whether the organisation holds the domain, and the TXT record was found.
    is_proved: bool,
    record: MailDomainRecordBody,
    /// For providers that are older than the record: until then people are signed in without it.
    grace_until: Option<DateTime<Utc>>,
    /// The last lookup that had an answer.
    checked_at: Option<DateTime<Utc>>,
    /// What was found at the record's name.
    #[schema(example = json!(["signpost-sso-verification=HDVzFhSRCyUfyEBbNSW7xzQBCTM"]))]
    observed: Vec<String>,
    /// Since when no answer has held the value. A proved domain stays so for three days.
    missing_since: Option<DateTime<Utc>>,
}

/// The record that lets the provider sign in people of the domain. It is not the one that proves the domain for devices.
#[derive(Serialize, ToSchema)]
pub struct MailDomainRecordBody {
    #[serde(rename = "type")]
    #[schema(example = "TXT")]
    kind: &'static str,
    #[schema(example = "_signpost-sso.acme.example")]
    name: String,
    #[schema(example = "signpost-sso-verification=HDVzFhSRCyUfyEBbNSW7xzQBCTM")]
    value: String,
}

impl MailDomainBody {
    fn of(domain: MailDomain, now: DatabaseTime) -> Self {
        Self {
            signs_in: domain.signs_in(now.get()),
            is_proved: domain.is_proved(),
            hostname: domain.hostname,
            record: MailDomainRecordBody {
                kind: "TXT",
                name: domain.record_name,
                value: domain.record_value,
            },
            grace_until: domain.grace_until,
            checked_at: domain.checked_at,
            observed: domain.observed,
            missing_since: domain.missing_since,
        }
    }
}

/// For the OpenAPI document.
fn example() -> serde_json::Value {
    serde_json::json!({
        "issuer": "https://accounts.google.com",
        "client_id": "3f1c0a7e-signpost",
        "mail_domains": [{
            "hostname": "acme.example",
            "signs_in": true,
            "is_proved": true,
            "record": {
                "type": "TXT",
                "name": "_signpost-sso.acme.example",
                "value": "signpost-sso-verification=HDVzFhSRCyUfyEBbNSW7xzQBCTM",
            },
            "grace_until": null,
            "checked_at": "2026-11-01T09:00:00Z",
            "observed": ["signpost-sso-verification=HDVzFhSRCyUfyEBbNSW7xzQBCTM"],
            "missing_since": null,
        }],
        "new_member_role": "viewer",
        "redirect_uri": "https://portal.signpost.example/sign-in/single-sign-on/callback",
        "created_at": "2026-11-01T09:00:00Z",
        "changed_at": "2026-11-01T09:00:00Z",
    })
}

impl SingleSignOnBody {
    fn of(provider: Provider, portal_url: &str, now: DatabaseTime) -> Self {
        let domains = provider.mail_domains.into_iter();
        Self {
            issuer: provider.issuer.as_str().to_owned(),
            client_id: provider.client_id,
            mail_domains: domains.map(|domain| MailDomainBody::of(domain, now)).collect(),
            new_member_role: provider.new_member_role.map(Role::as_str),
            redirect_uri: single_sign_on::redirect_url(portal_url),
            created_at: provider.created_at,
            changed_at: provider.changed_at,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"issuer": "https://accounts.google.com", "client_id": "3f1c0a7e-signpost", "client_secret": "GOCSPX-0123456789", "mail_domains": ["acme.example"], "new_member_role": "viewer"}))]
pub struct SingleSignOnChange {
    /// As the provider's configuration says it, to the letter.
    issuer: String,
    client_id: String,
    /// Left out: the one that is there stays, unless the issuer or the client ID is another.
    #[serde(default)]
    client_secret: Option<String>,
    /// Verified domains of yours. Each needs a TXT record of its own, which the answer names.
    mail_domains: Vec<String>,
    #[serde(default)]
    new_member_role: Option<String>,
}

/// Show the single sign-on
#[utoipa::path(
    tag = "People",
    responses(
        (status = 200, body = SingleSignOnBody, example = json!(example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/single-sign-on")]
pub async fn find_single_sign_on(actor: Actor, api: web::Data<Api>) -> Result<web::Json<SingleSignOnBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    stored(&api, &scope).await
}

/// Set up single sign-on
///
/// The provider is asked for its configuration before anything is stored. The secret is in no answer. Another issuer or
/// client ID is another provider: people who signed in with the previous one are signed out.
///
/// People of a mail domain are signed in as soon as the domain's TXT record for single sign-on is found. It is looked up
/// with this call and regularly after it.
#[utoipa::path(
    tag = "People",
    request_body = SingleSignOnChange,
    responses(
        (status = 200, body = SingleSignOnBody, example = json!(example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[put("/single-sign-on")]
pub async fn put_single_sign_on(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<SingleSignOnChange>,
) -> Result<web::Json<SingleSignOnBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let body = body.read().await?;
    let typed = Typed {
        issuer: &body.issuer,
        client_id: &body.client_id,
        client_secret: body.client_secret.as_deref(),
        mail_domains: body.mail_domains.iter().map(String::as_str).collect(),
        new_member_role: body.new_member_role.as_deref(),
    };
    let wanted = typed.parse().map_err(Problem::invalid)?;
    single_sign_on::check(&mut *api.pool.acquire().await?, &scope, &wanted).await?;
    let at = wanted.issuer.configuration();
    let asked = api.oidc.discover(wanted.issuer.as_str(), &at);
    asked
        .await
        .map_err(|error| Problem::invalid(vec![FieldError::new("/issuer", error)]))?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let saved = single_sign_on::save(&mut tx, &api.keyring, &scope, &wanted, now).await?;
    tx.commit().await?;
    drop(saved);
    match api.mail_domains.check_now(&scope).await {
        // The records are looked up within a minute in any case.
        Err(SingleSignOnError::Busy) => {}
        checked => checked?,
    }
    stored(&api, &scope).await
}

/// Check the mail domains
///
/// Looks the TXT records for single sign-on up now, and answers with what was found.
#[utoipa::path(
    tag = "People",
    responses(
        (status = 200, body = SingleSignOnBody, example = json!(example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem),
    ),
)]
#[post("/single-sign-on/check")]
pub async fn check_single_sign_on(actor: Actor, api: web::Data<Api>) -> Result<web::Json<SingleSignOnBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    single_sign_on::find(&mut *api.pool.acquire().await?, &scope)
        .await?
        .ok_or(SingleSignOnError::NotFound)?;
    api.mail_domains.check_now(&scope).await?;
    stored(&api, &scope).await
}

async fn stored(api: &Api, scope: &Scope) -> Result<web::Json<SingleSignOnBody>, Problem> {
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let provider = single_sign_on::find(&mut db, scope).await?;
    let provider = provider.ok_or(SingleSignOnError::NotFound)?;
    Ok(web::Json(SingleSignOnBody::of(provider, &api.portal_url, now)))
}

/// Delete the single sign-on
///
/// Nobody is signed in by the provider any more, and whoever is at this moment is signed out. Everybody stays a member.
#[utoipa::path(
    tag = "People",
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "no single sign-on is set up", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/single-sign-on")]
pub async fn delete_single_sign_on(actor: Actor, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let mut tx = api.pool.begin().await?;
    single_sign_on::delete(&mut tx, &scope).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}
