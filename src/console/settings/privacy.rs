//! Erasing what one person's devices asked.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::read;
use crate::{
    accounts::{Member, Permission, Scope},
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
    },
    request_log::erasure::{self, Erasure, Identifier, store},
};

/// The newest; those of 31 days are kept.
const SHOWN: i64 = 100;

#[derive(Template)]
#[template(path = "settings/privacy.html")]
struct PrivacyPage {
    frame: Frame,
    form: Form,
    erasures: Vec<Erasure>,
}

async fn privacy_page(
    request: &HttpRequest,
    console: &Console,
    (member, scope): (&Member, &Scope),
    form: Form,
) -> Result<PrivacyPage, Fault> {
    let mut db = console.pool.acquire().await?;
    Ok(PrivacyPage {
        frame: Frame::member(request, member, Section::Settings),
        form,
        erasures: store::list(&mut db, scope, None, SHOWN).await?,
    })
}

/// `GET /settings/privacy`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let notice = match page::done(&request).as_deref() {
        Some("erasing") => Some("This person's requests are being erased. It takes some minutes."),
        _ => None,
    };
    let page = privacy_page(&request, &console, (&member, &scope), Form::default()).await?;
    Ok(page::show(&PrivacyPage {
        frame: page.frame.with_notice(notice),
        ..page
    }))
}

/// `POST /settings/privacy`: `user_identifier`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let Some(identifier) = form.parse("user_identifier", Identifier::parse) else {
        let page = privacy_page(&request, &console, (&member, &scope), form).await?;
        return Ok(page::refuse(&page));
    };
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    erasure::request(&mut tx, &console.keyring, &scope, &identifier, now).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/privacy?done=erasing"))
}
