//! The organisation's own OpenID provider. There is one at most.
use actix_web::{HttpResponse, delete, get, put, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, body::Body, problem::Problem};
use crate::{
    accounts::{
        Actor, Permission,
        role::Role,
        single_sign_on::{self, Provider, SingleSignOnError, Typed},
    },
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
    /// False: the domain is not proved any more, and nobody is signed in by it.
    is_proved: bool,
}

impl SingleSignOnBody {
    fn of(provider: Provider, portal_url: &str) -> Self {
        let domains = provider.mail_domains.into_iter();
        Self {
            issuer: provider.issuer.as_str().to_owned(),
            client_id: provider.client_id,
            mail_domains: domains
                .map(|domain| MailDomainBody {
                    hostname: domain.hostname,
                    is_proved: domain.is_proved,
                })
                .collect(),
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
    /// Domains of yours, and proved.
    mail_domains: Vec<String>,
    #[serde(default)]
    new_member_role: Option<String>,
}

/// Show the single sign-on
#[utoipa::path(
    tag = "People",
    responses(
        (status = 200, body = SingleSignOnBody, example = json!({"issuer": "https://accounts.google.com", "client_id": "3f1c0a7e-signpost", "mail_domains": [{"hostname": "acme.example", "is_proved": true}], "new_member_role": null, "redirect_uri": "https://portal.signpost.example/sign-in/single-sign-on/callback", "created_at": "2026-11-01T09:00:00Z", "changed_at": "2026-11-01T09:00:00Z"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/single-sign-on")]
pub async fn find_single_sign_on(actor: Actor, api: web::Data<Api>) -> Result<web::Json<SingleSignOnBody>, Problem> {
    let scope = actor.scope(Permission::OrganisationAdmin)?;
    let provider = single_sign_on::find(&mut *api.pool.acquire().await?, &scope).await?;
    let provider = provider.ok_or(SingleSignOnError::NotFound)?;
    Ok(web::Json(SingleSignOnBody::of(provider, &api.portal_url)))
}

/// Set up single sign-on
///
/// The provider is asked for its configuration before anything is kept. The secret is in no answer. Another issuer or
/// client ID is another provider: whoever was signed in by the one before is signed out.
#[utoipa::path(
    tag = "People",
    request_body = SingleSignOnChange,
    responses(
        (status = 200, body = SingleSignOnBody, example = json!({"issuer": "https://accounts.google.com", "client_id": "3f1c0a7e-signpost", "mail_domains": [{"hostname": "acme.example", "is_proved": true}], "new_member_role": "viewer", "redirect_uri": "https://portal.signpost.example/sign-in/single-sign-on/callback", "created_at": "2026-11-01T09:00:00Z", "changed_at": "2026-11-01T09:00:00Z"})),
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
    let mut tx = api.pool.begin().await?;
    let saved = single_sign_on::save(&mut tx, &api.keyring, &scope, &wanted, crate::clock::now()).await?;
    tx.commit().await?;
    Ok(web::Json(SingleSignOnBody::of(saved, &api.portal_url)))
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
