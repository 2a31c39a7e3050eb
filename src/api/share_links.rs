//! Share links: making, listing and revoking them; and what whoever opens one sees.
use actix_web::{
    HttpRequest, HttpResponse, ResponseError, delete, get,
    http::header::{self, HeaderName, HeaderValue},
    post, web,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::Body,
    domain_body::{Dns, DomainBody, NextActionBody, Ownership},
    domains::find,
    page::{Page, PageParams, Params},
    problem::Problem,
    setups::SetupBody,
};
use crate::{
    accounts::{Actor, Permission},
    domains::share_links::{self, Lifetime, LinkToken, ShareLink, ShareLinkError, store},
    input::FieldError,
};

#[derive(Serialize, ToSchema)]
pub struct ShareLinkBody {
    id: Uuid,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// For people: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The same for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    json_url: Option<String>,
}

impl ShareLinkBody {
    fn with_urls(link: ShareLink, portal_url: &str, token: &LinkToken) -> Self {
        let url = format!("{portal_url}/share/{}", token.expose());
        Self {
            json_url: Some(format!("{url}.json")),
            url: Some(url),
            ..Self::from(link)
        }
    }
}

impl From<ShareLink> for ShareLinkBody {
    fn from(link: ShareLink) -> Self {
        Self {
            id: link.id,
            created_at: link.created_at,
            expires_at: link.expires_at,
            url: None,
            json_url: None,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expires_in_days": 30}))]
pub struct NewShareLink {
    /// 1 to 90, 30 if not given.
    #[serde(default)]
    #[schema(example = 30)]
    expires_in_days: Option<i64>,
}

impl NewShareLink {
    fn lifetime(&self) -> Result<Lifetime, Problem> {
        let days = self.expires_in_days.unwrap_or(Lifetime::DEFAULT_DAYS);
        Lifetime::of_days(days).map_err(|detail| Problem::invalid(vec![FieldError::new("/expires_in_days", detail)]))
    }
}

/// List share links
///
/// Those of a domain that are in force, without their URLs.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"), PageParams),
    responses(
        (status = 200, body = Page<ShareLinkBody>, example = json!({"data": [{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "created_at": "2026-11-01T09:00:00Z", "expires_at": "2026-12-01T09:00:00Z"}], "next_cursor": null})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
#[get("/domains/{domain}/share-links")]
pub async fn list_share_links(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    params: Params<PageParams>,
) -> Result<web::Json<Page<ShareLinkBody>>, Problem> {
    let scope = actor.scope(Permission::DomainsRead)?;
    let window = params.0.window()?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let domain = find(&mut db, &scope, &key).await?;
    let mut links = store::list(&mut db, &scope, domain.id, now).await?;
    links.retain(|link| window.after.is_none_or(|after| link.id > after));
    Ok(web::Json(window.page(links, |link| link.id, ShareLinkBody::from)))
}

/// Make a share link
///
/// Whoever has the URL sees this domain's steps and state, without an account, and nothing else. The URLs are in this
/// answer and nowhere else. A domain has at most 20 links in force.
#[utoipa::path(
    tag = "Domains",
    params(
        ("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"),
        ("Idempotency-Key" = Option<String>, Header, description = "Send it again within 24 hours and the first answer is replayed."),
    ),
    request_body = NewShareLink,
    responses(
        (status = 201, body = ShareLinkBody, example = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "created_at": "2026-11-01T09:00:00Z", "expires_at": "2026-12-01T09:00:00Z", "url": "https://portal.example.com/share/sgs_0123456789abcdefghijABCDEFGHIJ01", "json_url": "https://portal.example.com/share/sgs_0123456789abcdefghijABCDEFGHIJ01.json"})),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, description = "20 links are in force", body = Problem), (status = 422, body = Problem),
    ),
)]
#[post("/domains/{domain}/share-links")]
pub async fn create_share_link(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
    body: Body<NewShareLink>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    find(&mut *api.pool.acquire().await?, &scope, &key).await?;
    let lifetime = body.read().await?.lifetime()?;
    let (mut tx, now) = crate::clock::begin(&api.pool).await?;
    let domain = find(&mut tx, &scope, &key).await?;
    let (link, token) = share_links::create(&mut tx, &scope, &domain, lifetime, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(ShareLinkBody::with_urls(link, &api.portal_url, &token)))
}

/// Revoke a share link
///
/// It shows nothing any more, at once.
#[utoipa::path(
    tag = "Domains",
    params(
        ("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com"),
        ("id" = Uuid, Path),
    ),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, example = json!({"type": "/docs#not_found", "title": "Not found", "status": 404, "detail": "there is no such share link", "code": "not_found", "request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}))),
)]
#[delete("/domains/{domain}/share-links/{id}")]
pub async fn delete_share_link(
    actor: Actor,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let (key, id) = path.into_inner();
    let mut tx = api.pool.begin().await?;
    let domain = find(&mut tx, &scope, &key).await?;
    let id = id.parse().map_err(|_| ShareLinkError::NotFound)?;
    share_links::revoke(&mut tx, &scope, &domain, id).await?;
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What whoever holds a link sees of the domain: what is to be done, and how far it is. No ids, and nothing of the
/// client, the organisation or the MDM.
#[derive(Serialize)]
struct Shared {
    hostname: String,
    connection: &'static str,
    status: &'static str,
    next_action: Option<NextActionBody>,
    ownership: Ownership,
    dns: Dns,
    certificate: SharedCertificate,
    /// The records to add, and the lines for the domain's own web server.
    setup: SetupBody,
    expires_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct SharedCertificate {
    state: &'static str,
    not_after: Option<DateTime<Utc>>,
}

impl Shared {
    fn new(domain: DomainBody, setup: SetupBody, expires_at: DateTime<Utc>) -> Self {
        Self {
            hostname: domain.hostname,
            connection: domain.connection,
            status: domain.status,
            next_action: domain.next_action,
            ownership: domain.ownership,
            dns: domain.dns,
            certificate: SharedCertificate {
                state: domain.certificate.state,
                not_after: domain.certificate.not_after,
            },
            setup,
            expires_at,
        }
    }
}

/// The path of a link's JSON: whatever stands for a token, it is one 404.
pub const SHARED: &str = "/share/{token:.*}.json";

/// `GET /share/<token>.json`, without an account.
pub async fn open(request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    let token = request.match_info().get("token").unwrap_or_default();
    let mut response = match shared(&api, token).await {
        Ok(shared) => HttpResponse::Ok().json(shared),
        Err(problem) => problem.error_response(),
    };
    let headers = response.headers_mut();
    // The URL is the secret: no cache, no index and no other site is to keep it.
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn shared(api: &Api, token: &str) -> Result<Shared, Problem> {
    let nothing = || {
        Problem::not_found(
            "This link shows nothing: it is unknown, was revoked, or has expired. Ask whoever gave it to you for a new one.",
        )
    };
    let token = LinkToken::parse(token).ok_or_else(nothing)?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let opened = share_links::open(&mut db, &token, now).await;
    let (domain, expires_at) = opened.map_err(|error| match error {
        ShareLinkError::NotFound => nothing(),
        other => other.into(),
    })?;
    let setup = SetupBody::new(api, &domain, domain.connection);
    let domain = DomainBody::new(domain, &api.checker.expected, now.get());
    Ok(Shared::new(domain, setup, expires_at))
}
