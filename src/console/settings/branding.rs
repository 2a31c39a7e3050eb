//! What the pages of share links say of the organisation: a name, how to reach it, a logo.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::read;
use crate::{
    accounts::{
        Member, Permission,
        organisations::branding::{self, Branding, Contact, logo::Logo},
    },
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        sender::{self, Sender},
    },
    input::Name,
};

/// A logo that is too large is to be told so at its field, and not by a page of its own.
const LIMIT: usize = 1024 * 1024;

#[derive(Template)]
#[template(path = "settings/branding.html")]
struct BrandingPage {
    frame: Frame,
    form: Form,
    /// As it is shown now.
    sender: Option<Sender>,
}

impl BrandingPage {
    fn has_logo(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.logo.is_some())
    }

    fn new(request: &HttpRequest, member: &Member, form: Form, stored: Branding) -> Self {
        Self {
            frame: Frame::member(request, member, Section::Settings),
            form,
            sender: Sender::new(stored, "/settings/branding/logo"),
        }
    }
}

/// `GET /settings/branding`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let stored = branding::find(&mut *console.pool.acquire().await?, &scope).await?;
    let form = Form::of(&[
        ("display_name", stored.display_name.as_ref().map_or("", Name::as_str)),
        ("contact", stored.contact.as_ref().map_or("", Contact::as_str)),
    ]);
    let notice = match page::done(&request).as_deref() {
        Some("saved") => Some("Saved. Every share link shows it."),
        Some("removed") => Some("The logo is removed."),
        _ => None,
    };
    let page = BrandingPage::new(&request, &member, form, stored);
    Ok(page::show(&BrandingPage {
        frame: page.frame.with_notice(notice),
        ..page
    }))
}

/// `POST /settings/branding`: `display_name`, `contact`, `logo` (a file; none: it stays).
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let mut form = Form::read(&request, payload.into_inner(), LIMIT).await?;
    let display_name = form.parse("display_name", |text| unless_empty(text, Name::parse));
    let contact = form.parse("contact", |text| unless_empty(text, Contact::parse));
    let logo = match form.file("logo") {
        [] => Ok(None),
        bytes => Logo::parse(bytes).map(Some),
    };
    let mut tx = console.pool.begin().await?;
    let (display_name, contact, logo) = match (display_name, contact, logo) {
        (Some(display_name), Some(contact), Ok(logo)) => (display_name, contact, logo),
        (.., logo) => {
            if let Err(detail) = logo {
                form.complain("logo", detail);
            }
            let stored = branding::find(&mut tx, &scope).await?;
            return Ok(page::refuse(&BrandingPage::new(&request, &member, form, stored)));
        }
    };
    branding::update(&mut tx, &scope, display_name, contact).await?;
    if let Some(logo) = logo {
        branding::set_logo(&mut tx, &scope, &logo).await?;
    }
    tx.commit().await?;
    Ok(page::go_to("/settings/branding?done=saved"))
}

/// Nothing typed says nothing.
fn unless_empty<T>(text: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<Option<T>, &'static str> {
    match text.trim().is_empty() {
        true => Ok(None),
        false => parse(text).map(Some),
    }
}

/// `POST /settings/branding/logo/remove`
pub async fn remove_logo(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    read(&request, payload).await?;
    let mut tx = console.pool.begin().await?;
    branding::remove_logo(&mut tx, &scope).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/branding?done=removed"))
}

/// `GET /settings/branding/logo`
pub async fn show_logo(console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let logo = branding::find_logo(&mut *console.pool.acquire().await?, &scope).await?;
    Ok(sender::picture(logo.ok_or(Fault::NoSuchPage)?))
}
