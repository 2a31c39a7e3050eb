//! Deleting a domain, after a page that says what that means.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::find;
use crate::{
    accounts::{Member, Permission},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section},
    },
    domains::{self, CertificateState, store},
};

#[derive(Template)]
#[template(path = "domain_delete.html")]
struct DeletePage {
    frame: Frame,
    hostname: String,
    has_certificate: bool,
}

/// `GET /domains/{hostname}/delete`
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let domain = find(&mut db, &scope, &hostname).await?;
    let state = domain.certificate_state(&console.checker.expected, now.get());
    Ok(page::show(&DeletePage {
        frame: Frame::member(&request, &member, Section::Domains),
        hostname: domain.hostname,
        has_certificate: state == CertificateState::Valid,
    }))
}

/// `POST /domains/{hostname}/delete`
pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let seen = find(&mut tx, &scope, &hostname).await?;
    let domain = domains::find_to_change(&mut tx, &scope, seen.id).await?;
    if form.has("revoke_certificate", "yes") {
        store::revoke_certificates(&mut tx, &scope, domain.id).await?;
    }
    domains::delete(&mut tx, &scope, &domain, now).await?;
    tx.commit().await?;
    Ok(page::go_to("/domains?done=deleted"))
}
