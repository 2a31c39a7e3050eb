//! Share links: made, shown once, listed, revoked.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uuid::Uuid;

use super::{find, path_of, show};
use crate::{
    accounts::{Member, Permission},
    console::{
        Console,
        fault::Fault,
        form::{self, Form},
        page::{self, Frame, Section, day, moment},
    },
    domains::share_links::{self, Lifetime, ShareLink, ShareLinkError},
};

/// A link in force. Its address was shown when it was made.
pub struct Listed {
    pub id: Uuid,
    pub made_at: String,
    pub until: String,
}

impl From<ShareLink> for Listed {
    fn from(link: ShareLink) -> Self {
        Self {
            id: link.id,
            made_at: moment(&link.created_at),
            until: day(&link.expires_at),
        }
    }
}

#[derive(Template)]
#[template(path = "share_link.html")]
struct MadePage {
    frame: Frame,
    hostname: String,
    url: String,
    until: String,
    mail: String,
}

/// `POST /domains/{hostname}/share-links`: the answer shows the link, this once.
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    let domain = find(&mut tx, &scope, &hostname).await?;
    let lifetime = form.parse("days", |text| {
        let days = text.trim().parse().map_err(|_| "must be a number from 1 to 90")?;
        Lifetime::of_days(days)
    });
    if let Some(lifetime) = lifetime {
        match share_links::create(&mut tx, &scope, &domain, lifetime, now).await {
            Ok((link, token)) => {
                tx.commit().await?;
                let url = format!("{}/share/{}", console.portal_url, token.expose());
                return Ok(page::show(&MadePage {
                    frame: Frame::member(&request, &member, Section::Domains),
                    mail: mail(&domain.hostname, &url),
                    url,
                    until: day(&link.expires_at),
                    hostname: domain.hostname,
                }));
            }
            Err(error @ ShareLinkError::TooMany) => form.complain("", error),
            Err(other) => return Err(other.into()),
        }
    }
    drop(tx);
    let shown = show::Page::load(&request, &console, &member, domain).await?;
    Ok(page::refuse(&shown.with_share_form(form)))
}

/// `POST /domains/{hostname}/share-links/{id}/revoke`
pub async fn revoke(
    request: HttpRequest,
    payload: web::Payload,
    console: web::Data<Console>,
    member: Member,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsWrite)?;
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let (hostname, id) = path.into_inner();
    let id = id.parse().map_err(|_| Fault::NoSuchPage)?;
    let mut tx = console.pool.begin().await?;
    let domain = find(&mut tx, &scope, &hostname).await?;
    share_links::revoke(&mut tx, &scope, &domain, id).await?;
    tx.commit().await?;
    Ok(page::go_to(&format!("{}?done=revoked#share", path_of(&domain))))
}

/// The address of a mail with the link, to be sent by the member's own program (RFC 6068).
fn mail(hostname: &str, url: &str) -> String {
    let subject = format!("DNS steps for {hostname}");
    let body = format!(
        "Hello,\n\nplease set up {hostname} for Apple device enrollment. What to do, and how far it is, stands here; no account is needed:\n\n{url}\n"
    );
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("subject", &subject).append_pair("body", &body);
    // A mail's `+` stands for itself.
    format!("mailto:?{}", query.finish().replace('+', "%20"))
}
