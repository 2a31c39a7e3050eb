//! A look at a domain, now.
use actix_web::{post, web};

use super::{Api, domain_body::DomainBody, domains::find, problem::Problem};
use crate::{
    accounts::{Actor, Permission},
    domains::{DomainError, store},
};

/// Check a domain
///
/// Looks at the ownership record, the connection and the answer from outside, now, and answers with what was seen.
/// May take half a minute when name servers or web servers do not answer. Looks are frequent again from here on.
#[utoipa::path(
    tag = "Domains",
    params(("domain" = String, Path, description = "Its id or its hostname.", example = "contoso.com")),
    responses(
        (status = 200, body = DomainBody, example = json!(super::openapi::domain_example())),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem),
    ),
)]
#[post("/domains/{domain}/check")]
pub async fn check_domain(
    actor: Actor,
    api: web::Data<Api>,
    key: web::Path<String>,
) -> Result<web::Json<DomainBody>, Problem> {
    let scope = actor.scope(Permission::DomainsWrite)?;
    let domain = find(&mut *api.pool.acquire().await?, &scope, &key).await?;
    Box::pin(api.checker.check_now(&scope, domain.id)).await?;
    let (mut db, now) = crate::clock::acquire(&api.pool).await?;
    let seen = store::find(&mut db, &scope, domain.id).await?;
    let seen = seen.ok_or(DomainError::NotFound)?;
    Ok(web::Json(DomainBody::new(seen, &api.checker.expected, now.get())))
}
