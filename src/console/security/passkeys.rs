//! A person's passkeys: made, named, listed, removed. Making one needs a script; looking and removing does not.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uuid::Uuid;

use super::{
    Console, Fault, Form, Frame, Member, Section, asks_password, begin_change, form, is_proved, page, person, tell,
};
use crate::{
    accounts::passkeys::{self, Passkey, PasskeyError, Site},
    console::{attempts, browser::Browser},
    input::Name,
};

#[derive(Template)]
#[template(path = "security_passkeys.html")]
struct PasskeysPage {
    frame: Frame,
    form: Form,
    passkeys: Vec<Passkey>,
    asks_password: bool,
    may_be_made: bool,
}

impl From<PasskeyError> for Fault {
    fn from(error: PasskeyError) -> Self {
        match error {
            PasskeyError::Database(error) => Self::Database(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// `GET /settings/security/passkeys`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let notice = match page::done(&request).as_deref() {
        Some("added") => Some("The passkey is registered. From now on it signs you in."),
        Some("removed") => Some("The passkey is removed: it opens nothing any more. Delete it on your device as well."),
        _ => None,
    };
    let mut page = page(&request, &console, &member, Form::default()).await?;
    page.frame = page.frame.with_notice(notice);
    Ok(page::show(&page))
}

async fn page(request: &HttpRequest, console: &Console, member: &Member, form: Form) -> Result<PasskeysPage, Fault> {
    let asks_password = asks_password(console, member).await?;
    Ok(PasskeysPage {
        frame: Frame::member(request, member, Section::Settings),
        form,
        passkeys: passkeys::store::list(&mut *console.pool.acquire().await?, member).await?,
        asks_password,
        may_be_made: Site::of(&console.portal_url).is_some(),
    })
}

/// `POST /settings/security/passkeys/challenge`: what the browser's script needs to make one, as JSON.
pub async fn challenge(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    attempts::take_as(&request, &console, member.session_id.as_bytes())?;
    let site = Site::of(&console.portal_url).ok_or(Fault::NoSuchPage)?;
    form.parse("name", Name::parse);
    let is_proved = is_proved(&console, &member, &mut form).await?;
    if !(is_proved && form.is_fine()) {
        // The script shows the page that says what is wrong.
        return Ok(page::refuse(&page(&request, &console, &member, form).await?));
    }
    let browser = Browser::of(&request);
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let person = person(&mut db, &console, &member).await?;
    let options = passkeys::ask_to_make(&mut db, (&site, browser.visitor()), &member, &person, now).await?;
    Ok(page::json(options))
}

/// `POST /settings/security/passkeys`: `do` is `add` with `name` and `credential`, or `remove` with `passkey`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let is_proved = is_proved(&console, &member, &mut form).await?;
    let done = match form.value("do") {
        _ if !is_proved => None,
        "add" => add(&request, &console, &member, &mut form).await?,
        "remove" => Some(remove(&console, &member, form.value("passkey")).await?),
        _ => return Err(Fault::NoSuchPage),
    };
    match done {
        Some(response) => Ok(response),
        None => Ok(page::refuse(&page(&request, &console, &member, form).await?)),
    }
}

async fn add(
    request: &HttpRequest,
    console: &Console,
    member: &Member,
    form: &mut Form,
) -> Result<Option<HttpResponse>, Fault> {
    let browser = Browser::of(request);
    let site = Site::of(&console.portal_url).ok_or(Fault::NoSuchPage)?;
    let Some(name) = form.parse("name", Name::parse) else {
        return Ok(None);
    };
    if form.value("credential").is_empty() {
        form.complain(
            "",
            "This browser makes no passkey here: it needs JavaScript, and HTTPS.",
        );
        return Ok(None);
    }
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let site = (&site, browser.visitor());
    let made = match passkeys::answer_to_make(&mut db, site, member, form.value("credential"), now).await {
        Ok(made) => made,
        Err(error) => {
            form.complain("", refusal(error)?);
            return Ok(None);
        }
    };
    drop(db);
    let (mut tx, now) = begin_change(console, member).await?;
    if let Err(error) = passkeys::keep(&mut tx, member, &name.into_string(), &made, now).await {
        form.complain("", refusal(error)?);
        return Ok(None);
    }
    let what = (
        "A passkey was added",
        "A passkey was registered for your Signpost account: it signs in without the password.",
    );
    tell(&mut tx, console, member, what, now).await?;
    tx.commit().await?;
    Ok(Some(page::go_to("/settings/security/passkeys?done=added")))
}

/// What a page says to a passkey that is refused. What exactly is wrong with it is for the log.
pub fn refusal(error: PasskeyError) -> Result<String, Fault> {
    match error {
        PasskeyError::Refused(why) => {
            tracing::info!(why, "a passkey is refused");
            Ok("This passkey was not accepted. Try again, or use another way.".to_owned())
        }
        PasskeyError::TooMany | PasskeyError::Known => {
            let text = error.to_string();
            let (first, rest) = text.split_at(1);
            Ok(format!("{}{rest}.", first.to_uppercase()))
        }
        PasskeyError::Seal(_) | PasskeyError::Database(_) => Err(error.into()),
    }
}

async fn remove(console: &Console, member: &Member, passkey: &str) -> Result<HttpResponse, Fault> {
    let passkey_id = Uuid::parse_str(passkey).map_err(|_| Fault::NoSuchPage)?;
    let (mut tx, now) = begin_change(console, member).await?;
    if !passkeys::remove(&mut tx, member, passkey_id).await? {
        return Err(Fault::NoSuchPage);
    }
    let what = (
        "A passkey was removed",
        "A passkey of your Signpost account was removed: it opens nothing any more.",
    );
    tell(&mut tx, console, member, what, now).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/security/passkeys?done=removed"))
}
