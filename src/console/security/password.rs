//! Another password. The present one is always asked for, however recent the sign-in is.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Console, Fault, Form, Frame, Member, Section, begin_change, form, is_password_right, page, people, person, tell,
};
use crate::{accounts::sessions, console::browser::Browser, passwords::NewPassword};

#[derive(Template)]
#[template(path = "security_password.html")]
struct PasswordPage {
    frame: Frame,
    form: Form,
    email: String,
    has_password: bool,
}

/// `GET /settings/security/password`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    Ok(page::show(&page(&request, &console, &member, Form::default()).await?))
}

async fn page(request: &HttpRequest, console: &Console, member: &Member, form: Form) -> Result<PasswordPage, Fault> {
    let mut db = console.pool.acquire().await?;
    Ok(PasswordPage {
        frame: Frame::member(request, member, Section::Settings),
        form,
        email: person(&mut db, console, member).await?.email.expose().to_owned(),
        has_password: people::store::has_password(&mut db, member).await?,
    })
}

/// `POST /settings/security/password`: `present_password`, `new_password`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let person = person(&mut *console.pool.acquire().await?, &console, &member).await?;
    let about = [
        person.email.expose(),
        person.name.as_deref().unwrap_or_default(),
        &member.organisation_name,
    ];
    let new = form.parse("new_password", |text| NewPassword::parse(text, &about));
    let is_right = is_password_right(&console, &member, &mut form, super::PRESENT).await?;
    let (Some(new), true) = (new, is_right) else {
        return Ok(page::refuse(&page(&request, &console, &member, form).await?));
    };
    let hash = console.passwords.hash(new).await?;
    let (mut tx, now) = begin_change(&console, &member).await?;
    people::change_password(&mut tx, &member, &hash, Browser::known(&request).as_ref()).await?;
    let secret = sessions::renew(&mut tx, &member, now).await?;
    let what = (
        "Your password has changed",
        "The password of your Signpost account was changed, and every other browser was signed out.",
    );
    tell(&mut tx, &console, &member, what, now).await?;
    tx.commit().await?;
    let mut response = page::go_to("/settings/security?done=password");
    Browser::of(&request).sign_in(&mut response, &secret);
    Ok(response)
}
