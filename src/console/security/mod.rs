//! What a person looks after alone: name, address, password, second factor, and the browsers that are signed in.
mod account;
mod email;
mod passkeys;
mod password;
mod qr;
mod second_factor;
mod sessions;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::{PgConnection, Postgres, Transaction};

use super::{
    Console,
    fault::{Fault, span},
    form,
    form::Form,
    page::{self, Frame, Section},
};
pub(super) use passkeys::refusal;

use crate::{
    accounts::{
        Member,
        passkeys::Passkey,
        people::{self, Person},
        proof::{self, Wanted},
        second_factors::{self, SecondFactorError, State},
        sessions::Session,
        sign_in::SignInError,
    },
    clock::DatabaseTime,
    mail::Mail,
    outbox,
};

const HOME: &str = "/settings/security";
/// Of the field that a form has when somebody signed in a while ago.
const PRESENT: &str = "present_password";

pub fn pages(config: &mut web::ServiceConfig) {
    let both = |path: &str, get, post| super::form(path, get, post);
    config
        .service(super::page(HOME, web::get().to(show)))
        .service(both(
            "/settings/security/name",
            web::get().to(account::show),
            web::post().to(account::submit),
        ))
        .service(both(
            "/settings/security/email",
            web::get().to(email::show),
            web::post().to(email::submit),
        ))
        .service(both(
            "/settings/security/email/{token}",
            web::get().to(email::show_link),
            web::post().to(email::confirm),
        ))
        .service(both(
            "/settings/security/password",
            web::get().to(password::show),
            web::post().to(password::submit),
        ))
        .service(both(
            "/settings/security/sessions",
            web::get().to(|| async { page::go_to(HOME) }),
            web::post().to(sessions::end),
        ))
        .service(both(
            "/settings/security/second-factor",
            web::get().to(second_factor::show),
            web::post().to(second_factor::submit),
        ))
        .service(both(
            "/settings/security/passkeys",
            web::get().to(passkeys::show),
            web::post().to(passkeys::submit),
        ))
        .service(both(
            "/settings/security/passkeys/challenge",
            web::get().to(|| async { page::go_to("/settings/security/passkeys") }),
            web::post().to(passkeys::challenge),
        ));
}

#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage {
    frame: Frame,
    person: Person,
    has_password: bool,
    second_factor: State,
    passkeys: Vec<Passkey>,
    sessions: Vec<Session>,
    /// The session of the browser that asks.
    own: uuid::Uuid,
}

/// `GET /settings/security`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let notice = match page::done(&request).as_deref() {
        Some("name") => Some("Your name is changed."),
        Some("email-sent") => {
            Some("A mail with a link is on its way to the new address. Until you open it, the old one counts.")
        }
        Some("email") => Some("Your new address counts from now on."),
        Some("password") => Some("Your new password is set. Every other browser is signed out."),
        Some("second-factor-off") => Some("The second factor is off: your password alone lets you in."),
        Some("session") => Some("That browser is signed out."),
        Some("sessions") => Some("Every other browser is signed out."),
        _ => None,
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    Ok(page::show(&SecurityPage {
        frame: Frame::member(&request, &member, Section::Settings).with_notice(notice),
        person: person(&mut db, &console, &member).await?,
        has_password: people::store::has_password(&mut db, &member).await?,
        second_factor: second_factors::state(&mut db, &console.keyring, &member).await?,
        passkeys: crate::accounts::passkeys::store::list(&mut db, &member).await?,
        sessions: crate::accounts::sessions::store::list(&mut db, &member, now).await?,
        own: member.session_id,
    }))
}

async fn person(db: &mut PgConnection, console: &Console, member: &Member) -> Result<Person, Fault> {
    let person = people::find(db, &console.keyring, member.user_id).await?;
    person.ok_or(Fault::NoSuchPage)
}

/// Whether a form has to ask for the password.
async fn asks_password(console: &Console, member: &Member) -> Result<bool, Fault> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    match proof::wanted(&mut db, member, now).await? {
        Wanted::Nothing => Ok(false),
        Wanted::Password => Ok(true),
        Wanted::SignIn => Err(Fault::StaleSignIn),
        Wanted::FirstPassword => Err(Fault::ProvidersWord),
    }
}

/// Whether it is shown who sends the form; if not, the form says so.
async fn is_proved(console: &Console, member: &Member, form: &mut Form) -> Result<bool, Fault> {
    match asks_password(console, member).await? {
        false => Ok(true),
        true => is_password_right(console, member, form, PRESENT).await,
    }
}

/// Compares a field with the member's password.
async fn is_password_right(
    console: &Console,
    member: &Member,
    form: &mut Form,
    field: &'static str,
) -> Result<bool, Fault> {
    let means = (&console.pool, &*console.keyring, &console.passwords);
    let given = form.value(field).to_owned();
    match proof::with_password(means, member, given).await {
        Ok(()) => Ok(true),
        Err(error) => {
            form.complain(field, failed_attempt(error, "is wrong")?);
            Ok(false)
        }
    }
}

/// A transaction in which the member changes how they sign in; refused if the session has ended meanwhile.
async fn begin_change(
    console: &Console,
    member: &Member,
) -> Result<(Transaction<'static, Postgres>, DatabaseTime), Fault> {
    let (mut tx, now) = crate::clock::begin(&console.pool).await?;
    match crate::accounts::sessions::lock(&mut tx, member).await? {
        true => Ok((tx, now)),
        false => Err(Fault::SignedOut(Vec::new())),
    }
}

/// What a form says to an attempt that failed.
pub(super) fn failed_attempt(error: SignInError, wrong: &str) -> Result<String, Fault> {
    match error {
        SignInError::Wrong => Ok(wrong.to_owned()),
        SignInError::TooMany(wait) => {
            let wait = span(u64::try_from(wait.num_seconds()).unwrap_or(1) + 1);
            Ok(format!("was wrong too often: try again in {wait}"))
        }
        SignInError::Busy(busy) => Err(busy.into()),
        SignInError::Organisation(error) => Err(error.into()),
        SignInError::Database(error) => Err(error.into()),
    }
}

impl From<SecondFactorError> for Fault {
    fn from(error: SecondFactorError) -> Self {
        match error {
            SecondFactorError::Database(error) => Self::Database(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// Tells somebody by mail what was changed, in case it was somebody else.
pub(super) async fn tell(
    db: &mut PgConnection,
    console: &Console,
    member: &Member,
    (subject, what): (&str, &str),
    now: DatabaseTime,
) -> Result<(), Fault> {
    let to = person(db, console, member).await?.email.expose().to_owned();
    let portal = &console.portal_url;
    let mail = Mail {
        to,
        subject: subject.to_owned(),
        text: format!(
            "{what}\n\nIf that was you, there is nothing to do. If it was not, set a new password ({portal}/password/forgotten) and look through your security settings ({portal}{HOME}).\n"
        ),
    };
    outbox::post(db, &console.keyring, None, &mail, now).await?;
    Ok(())
}
