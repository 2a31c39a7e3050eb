//! The organisation's own OpenID provider.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::read;
use crate::{
    accounts::{
        Member, Permission,
        role::Role,
        single_sign_on::{
            self, MailDomain, Provider, SingleSignOnError, Typed, Wanted, mail_domains::record::LOST_AFTER,
            redirect_url,
        },
    },
    clock::DatabaseTime,
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        reauthentication,
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
    records: Vec<RecordRow>,
}

impl SingleSignOnPage {
    fn new(frame: Frame, form: Form, console: &Console, (provider, now): (Option<Provider>, DatabaseTime)) -> Self {
        let domains = provider.iter().flat_map(|provider| &provider.mail_domains);
        Self {
            frame,
            form,
            redirect_url: redirect_url(&console.portal_url),
            records: domains.map(|domain| RecordRow::new(domain, now)).collect(),
            provider,
        }
    }
}

/// The TXT record of one mail domain, and whether people of the domain are signed in.
struct RecordRow {
    hostname: String,
    name: String,
    value: String,
    class: &'static str,
    status: &'static str,
    explanation: String,
}

impl RecordRow {
    fn new(domain: &MailDomain, now: DatabaseTime) -> Self {
        let (class, status, explanation) = explained(domain, now);
        Self {
            hostname: domain.hostname.clone(),
            name: domain.record_name.clone(),
            value: domain.record_value.clone(),
            class,
            status,
            explanation,
        }
    }
}

fn explained(domain: &MailDomain, now: DatabaseTime) -> (&'static str, &'static str, String) {
    if !domain.is_held {
        let what = "Your organisation does not hold this domain now. Verify it again on its page, or remove it here.";
        return ("bad", "Not active", what.to_owned());
    }
    match (domain.proved_at, domain.missing_since, domain.grace_until) {
        (Some(_), None, _) => ("good", "Active", "The record was found.".to_owned()),
        (Some(_), Some(since), _) => (
            "warn",
            "Active",
            format!(
                "The record is missing since {}. Single sign-on ends on {} unless you add it again.",
                page::moment(&since),
                page::moment(&(since + LOST_AFTER))
            ),
        ),
        (None, _, Some(until)) if until > now => (
            "warn",
            "Active",
            format!(
                "Single sign-on ends on {} unless you add this record.",
                page::moment(&until)
            ),
        ),
        (None, _, _) => ("bad", "Not active", missing(domain)),
    }
}

fn missing(domain: &MailDomain) -> String {
    match (&domain.misplaced, domain.observed.as_slice(), domain.checked_at) {
        (Some(name), _, _) => format!("The value was found at {name}. Add the record with the name shown here."),
        (None, [], None) => "DNS has not answered yet. Check again in a minute.".to_owned(),
        (None, [], Some(at)) => format!("The record was not found at {}. Add it.", page::moment(&at)),
        (None, observed, _) => format!("Another value was found there: {}", observed.join(", ")),
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
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let provider = single_sign_on::find(&mut db, &scope).await?;
    let notice = match page::done(&request).as_deref() {
        Some("saved") => {
            Some("Saved. The provider answers. Try single sign-on in a private window before you rely on it.")
        }
        Some("checked") => Some("Checked."),
        Some("deleted") => Some("Single sign-on is deleted. People who signed in with it are signed out."),
        _ => None,
    };
    let frame = Frame::member(&request, &member, Section::Settings).with_notice(notice);
    let form = provider.as_ref().map(stored).unwrap_or_default();
    Ok(page::show(&SingleSignOnPage::new(
        frame,
        form,
        &console,
        (provider, now),
    )))
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
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    match save(&console, &member, &form).await? {
        Ok(()) => return Ok(page::go_to("/settings/single-sign-on?done=saved")),
        Err(errors) => complain(&mut form, &errors),
    }
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let provider = single_sign_on::find(&mut db, &scope).await?;
    let frame = Frame::member(&request, &member, Section::Settings);
    Ok(page::refuse(&SingleSignOnPage::new(
        frame,
        form,
        &console,
        (provider, now),
    )))
}

/// `POST /settings/single-sign-on/check`: looks the mail domains' records up now.
pub async fn check(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    console.mail_domains.check_now(&scope).await?;
    Ok(page::go_to("/settings/single-sign-on?done=checked"))
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
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    match single_sign_on::save(&mut tx, &console.keyring, &scope, &wanted, now).await {
        Err(SingleSignOnError::Invalid(errors)) => return Ok(Err(errors)),
        saved => drop(saved?),
    }
    tx.commit().await?;
    match console.mail_domains.check_now(&scope).await {
        // The records are looked up within a minute in any case.
        Err(SingleSignOnError::Busy) => {}
        checked => checked?,
    }
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
    let mut form = read(&request, payload).await?;
    let scope = member.scope(Permission::OrganisationAdmin)?;
    if let Some(response) = reauthentication::demand(&request, &console, &member, &mut form).await? {
        return Ok(response);
    }
    let mut tx = console.pool.begin().await?;
    single_sign_on::delete(&mut tx, &scope).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/single-sign-on?done=deleted"))
}
