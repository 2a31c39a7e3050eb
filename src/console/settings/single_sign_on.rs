//! The organisation's own OpenID provider.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::read;
use crate::{
    accounts::{
        Member, Permission,
        role::Role,
        single_sign_on::{self, Provider, SingleSignOnError, Typed, Wanted, redirect_url},
    },
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
    },
    input::FieldError,
};

#[derive(Template)]
#[template(path = "settings/single_sign_on.html")]
struct SingleSignOnPage {
    frame: Frame,
    form: Form,
    redirect_url: String,
    provider: Option<Provider>,
}

impl SingleSignOnPage {
    /// Mail domains by which nobody is signed in any more.
    fn lost(&self) -> Vec<&str> {
        let domains = self.provider.iter().flat_map(|provider| &provider.mail_domains);
        domains
            .filter(|domain| !domain.is_proved)
            .map(|domain| domain.hostname.as_str())
            .collect()
    }
}

#[derive(Template)]
#[template(path = "settings/single_sign_on_delete.html")]
struct DeletePage {
    frame: Frame,
    issuer: String,
}

fn stored(provider: &Provider) -> Form {
    let domains: Vec<_> = provider
        .mail_domains
        .iter()
        .map(|domain| domain.hostname.as_str())
        .collect();
    Form::of(&[
        ("issuer", provider.issuer.as_str()),
        ("client_id", &provider.client_id),
        ("mail_domains", &domains.join("\n")),
        ("new_member_role", provider.new_member_role.map_or("", Role::as_str)),
    ])
}

/// `GET /settings/single-sign-on`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let provider = single_sign_on::find(&mut *console.pool.acquire().await?, &scope).await?;
    let notice = match page::done(&request).as_deref() {
        Some("saved") => Some("Saved. The provider answers; try it in a private window before you rely on it."),
        Some("deleted") => Some("Single sign-on is deleted. Whoever was signed in by it is signed out."),
        _ => None,
    };
    Ok(page::show(&SingleSignOnPage {
        frame: Frame::member(&request, &member, Section::Settings).with_notice(notice),
        form: provider.as_ref().map(stored).unwrap_or_default(),
        redirect_url: redirect_url(&console.portal_url),
        provider,
    }))
}

/// `POST /settings/single-sign-on`: `issuer`, `client_id`, `client_secret`, `mail_domains`, `new_member_role`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    match save(&console, &member, &form).await? {
        Ok(()) => return Ok(page::go_to("/settings/single-sign-on?done=saved")),
        Err(errors) => complain(&mut form, &errors),
    }
    let provider = single_sign_on::find(&mut *console.pool.acquire().await?, &scope).await?;
    Ok(page::refuse(&SingleSignOnPage {
        frame: Frame::member(&request, &member, Section::Settings),
        form,
        redirect_url: redirect_url(&console.portal_url),
        provider,
    }))
}

/// The inner error is what is wrong with the form.
async fn save(console: &Console, member: &Member, form: &Form) -> Result<Result<(), Vec<FieldError>>, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let separators = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
    let typed = Typed {
        issuer: form.value("issuer"),
        client_id: form.value("client_id"),
        client_secret: form.find("client_secret"),
        mail_domains: form
            .value("mail_domains")
            .split(separators)
            .filter(|name| !name.is_empty())
            .collect(),
        new_member_role: Some(form.value("new_member_role")).filter(|role| !role.is_empty()),
    };
    let wanted: Wanted = match typed.parse() {
        Ok(wanted) => wanted,
        Err(errors) => return Ok(Err(errors)),
    };
    match single_sign_on::check(&mut *console.pool.acquire().await?, &scope, &wanted).await {
        Err(SingleSignOnError::Invalid(errors)) => return Ok(Err(errors)),
        checked => checked?,
    }
    let at = wanted.issuer.configuration();
    let asked = console.oidc.discover(wanted.issuer.as_str(), &at);
    if let Err(error) = asked.await {
        return Ok(Err(vec![FieldError::new("/issuer", error)]));
    }
    let mut tx = console.pool.begin().await?;
    match single_sign_on::save(&mut tx, &console.keyring, &scope, &wanted, crate::clock::now()).await {
        Err(SingleSignOnError::Invalid(errors)) => return Ok(Err(errors)),
        saved => drop(saved?),
    }
    tx.commit().await?;
    Ok(Ok(()))
}

/// A pointer begins with the field's name.
fn complain(form: &mut Form, errors: &[FieldError]) {
    for error in errors {
        let pointer = error.pointer.trim_start_matches('/');
        match pointer.split_once('/') {
            Some((field, _)) => form.complain(field, format_args!("are not all right: {}", error.detail)),
            None => form.complain(pointer, &error.detail),
        }
    }
}

/// `GET /settings/single-sign-on/delete`
pub async fn show_delete(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let provider = single_sign_on::find(&mut *console.pool.acquire().await?, &scope).await?;
    let provider = provider.ok_or(Fault::NoSuchPage)?;
    Ok(page::show(&DeletePage {
        frame: Frame::member(&request, &member, Section::Settings),
        issuer: provider.issuer.as_str().to_owned(),
    }))
}

/// `POST /settings/single-sign-on/delete`
pub async fn delete(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    let mut tx = console.pool.begin().await?;
    single_sign_on::delete(&mut tx, &scope).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/single-sign-on?done=deleted"))
}
