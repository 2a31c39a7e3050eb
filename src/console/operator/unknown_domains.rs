//! Names that devices ask for and nobody has registered: somebody has pointed DNS here too early, or has left.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::operator;
use crate::{
    accounts::Member,
    console::{
        Console,
        fault::Fault,
        page::{self, Frame, Section},
    },
    operating::{UNKNOWN_SINCE, UnknownDomain, store},
};

const AT_MOST: i64 = 200;

#[derive(Template)]
#[template(path = "operator_unknown_domains.html")]
struct UnknownDomainsPage {
    frame: Frame,
    domains: Vec<UnknownDomain>,
    is_cut: bool,
}

/// `GET /operator/unknown-domains`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let operator = operator(&member)?;
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let since = now - UNKNOWN_SINCE;
    let domains = store::list_unknown_domains(&mut db, operator, since, AT_MOST).await?;
    Ok(page::show(&UnknownDomainsPage {
        frame: Frame::member(&request, &member, Section::Operator),
        is_cut: i64::try_from(domains.len()) == Ok(AT_MOST),
        domains,
    }))
}
