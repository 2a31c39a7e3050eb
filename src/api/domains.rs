//! Domains: registering, changing, deleting, and what a device would get.
use actix_web::{HttpResponse, delete, get, patch, post, web};
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::{Body, present},
    domain_body::DomainBody,
    page::{self, Page, Params, Window, invalid_parameter},
    problem::Problem,
};
use crate::{
    accounts::{Actor, Permission, Scope},
    domains::{
        self, Change, Connection, Domain, DomainError,
        intake::{DomainInput, tenants},
        lists::{self, Question, Sort, Text},
        policy::Policy,
        status::Status,
        store,
    },
    hostname::Hostname,
    input::{FieldError, WebUrl, optional_object},
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only this client's.
    client_id: Option<Uuid>,
    /// Only those with this status, as it was a second ago.
    #[param(example = "active")]
    status: Option<String>,
    /// Only those with this in their hostname. A search that has examined many domains ends early: then the page holds
    /// fewer domains than fit, or none, and `next_cursor` searches on.
    q: Option<String>,
    /// 1 to 100, 50 if not given.
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List domains
#[utoipa::path(
    tag = "Domains",
    params(ListParams),
    responses(
        (status = 200, body = Page<DomainBody>, example = json!({"data": [super::openapi::domain_example()], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/domains")]
pub async fn list_domains(
    actor: Actor,
    api: web::Data<Api>,
    params: Params<ListParams>,
) -> Result<web::Json<Page<DomainBody>>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let params = params.0;
    let window = Window::parse(params.limit, params.cursor.as_deref())?;
    let parse = |text: &str| {
        Status::parse(text).ok_or_else(|| {
            invalid_parameter(
                "status",
                format_args!("is not one of {}", Status::ALL.map(Status::as_str).join(", ")),
            )
        })
    };
    let wanted = params.status.as_deref().map(parse).transpose()?;
    if params.q.as_deref().is_some_and(|text| text.contains(char::is_control)) {
        return Err(invalid_parameter("q", "holds a control character"));
    }
    let text = params
        .q
        .as_deref()
        .filter(|text| !text.is_empty())
        .map(Text::parse_hostname);
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let found = match text {
        // No hostname is so long.
        Some(None) => lists::Page::default(),
        text => {
            let question = Question {
                client_id: params.client_id,
                text: text.flatten(),
                status: wanted,
                sort: Sort::Oldest,
                after: window.after.map(|id| id.to_string()),
            };
            lists::list(
                &mut db,
                &scope,
                &question,
                &api.checker.expected,
                (window.limit(), now.get()),
            )
            .await?
        }
    };
    let bodies = found.lines.into_iter();
    Ok(web::Json(Page {
        data: bodies
            .map(|line| DomainBody::new(line.domain, &api.checker.expected, now.get()))
            .collect(),
        next_cursor: found.next.and_then(|id| id.parse().ok()).map(page::encode),
    }))
}

/// Register a domain
///
/// Together with its client and MDM server, if those are new.
#[utoipa::path(
    tag = "Domains",
    params(("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed.")),
    request_body = DomainInput,
    responses(
        (status = 201, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, description = "No such client", body = Problem),
        (status = 409, description = "The organisation has registered this hostname already", body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/domains")]
pub async fn create_domain(
    actor: Actor,
    api: web::Data<Api>,
    body: Body<DomainInput>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let mut body = body.read().await?;
    tenants::fill_in(&api.entra, [&mut body]).await;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let domain = body.register(&mut tx, &api.registration_rules, &scope).await?;
    tx.commit().await?;
    api.check_wanted.notify_one();
    Ok(HttpResponse::Created().json(DomainBody::new(domain, &api.checker.expected, now.get())))
}

/// Show a domain
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    responses(
        (status = 200, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 404, body = Problem),
    ),
)]
#[get("/domains/{domain}")]
pub async fn find_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
) -> Result<web::Json<DomainBody>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let domain = find(&mut db, &scope, &key).await?;
    Ok(web::Json(DomainBody::new(domain, &api.checker.expected, now.get())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"website_url": "https://www.contoso.com", "policy": {"default": {"action": "defer"}, "rules": []}}))]
pub struct DomainChange {
    #[serde(default)]
    connection: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    website_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "optional_object")]
    policy: Option<Policy>,
}

impl DomainChange {
    /// Parses the change of a domain whose policy is `stored`.
    fn parse(self, stored: &Policy) -> Result<Change, Vec<FieldError>> {
        let mut errors = Vec::new();
        let connection = self
            .connection
            .as_deref()
            .map(|text| Connection::parse(text).ok_or("is not `direct`, `redirect` or `proxy`"));
        let connection = connection
            .transpose()
            .map_err(|detail| errors.push(FieldError::new("/connection", detail)));
        let website_url = self
            .website_url
            .map(|url| url.as_deref().map(WebUrl::parse).transpose())
            .transpose();
        let website_url = website_url.map_err(|detail| errors.push(FieldError::new("/website_url", detail)));
        errors.extend(
            self.policy
                .iter()
                .flat_map(|policy| policy.errors_replacing(stored))
                .map(|error| error.within("/policy")),
        );
        match (connection, website_url) {
            (Ok(connection), Ok(website_url)) if errors.is_empty() => Ok(Change {
                connection,
                website_url,
                policy: self.policy,
            }),
            _ => Err(errors),
        }
    }
}

/// Change a domain
///
/// What is left out stays; `"website_url": null` clears it. The hostname can't be changed: register the other one.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    request_body = DomainChange,
    responses(
        (status = 200, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[patch("/domains/{domain}")]
pub async fn update_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    body: Body<DomainChange>,
) -> Result<web::Json<DomainBody>, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let stored = find(&mut *api.pool.acquire().await?, &scope, &key).await?;
    let change = body.read().await?.parse(&stored.policy).map_err(Problem::invalid)?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let domain = find_to_change(&mut tx, &scope, &key).await?;
    let domain = domains::update(&mut tx, &scope, &domain, change).await?;
    tx.commit().await?;
    api.check_wanted.notify_one();
    Ok(web::Json(DomainBody::new(domain, &api.checker.expected, now.get())))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteParams {
    /// `true`: the CA is asked to revoke the certificate, which takes it a minute or so.
    revoke_certificate: Option<bool>,
}

/// Delete a domain
///
/// It stops being served at once, and its certificate is not renewed.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"), DeleteParams),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such domain", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/domains/{domain}")]
pub async fn delete_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    params: Params<DeleteParams>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let domain = find_to_change(&mut tx, &scope, &key).await?;
    if params.0.revoke_certificate == Some(true) {
        store::revoke_certificates(&mut tx, &scope, domain.id).await?;
    }
    domains::delete(&mut tx, &scope, &domain, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The same, locked.
async fn find_to_change(db: &mut PgConnection, scope: &Scope, key: &str) -> Result<Domain, DomainError> {
    let domain = find(db, scope, key).await?;
    domains::find_to_change(db, scope, domain.id).await
}

/// The domain that a path names, by its id or its hostname.
pub async fn find(db: &mut PgConnection, scope: &Scope, key: &str) -> Result<Domain, DomainError> {
    let found = match (key.parse(), Hostname::parse(key)) {
        (Ok(id), _) => store::find(db, scope, id).await?,
        (Err(_), Ok(hostname)) => store::find_by_hostname(db, scope, &hostname).await?,
        (Err(_), Err(_)) => None,
    };
    found.ok_or(DomainError::NotFound)
}
