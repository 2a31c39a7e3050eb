//! Another address: asked for here, confirmed by the link of the mail that goes there, by the same person.
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console, Fault, Form, Frame, HOME, Member, Person, Section, asks_password, begin_change, form, is_proved, page,
    person,
};
use crate::{
    accounts::{
        email::Email,
        email_changes::{self, Answer, EmailChangeError},
        secret_text::SecretText,
        unproved_accounts,
    },
    input::unlinkable,
    mail::Mail,
    outbox,
};

#[derive(Template)]
#[template(path = "security_email.html")]
struct EmailPage {
    frame: Frame,
    form: Form,
    present: String,
    asks_password: bool,
}

#[derive(Template)]
#[template(path = "security_email_confirm.html")]
struct ConfirmPage {
    frame: Frame,
    /// The link's token and the address; none: it shows nothing any more.
    link: Option<(String, String)>,
}

impl From<EmailChangeError> for Fault {
    fn from(error: EmailChangeError) -> Self {
        match error {
            EmailChangeError::Organisation(error) => error.into(),
            EmailChangeError::Member(error) => error.into(),
            EmailChangeError::Database(error) => Self::Database(error),
            EmailChangeError::NotFound | EmailChangeError::Same | EmailChangeError::TooMany => Self::NoSuchPage,
        }
    }
}

/// `GET /settings/security/email`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    Ok(page::show(&page(&request, &console, &member, Form::default()).await?))
}

async fn page(request: &HttpRequest, console: &Console, member: &Member, form: Form) -> Result<EmailPage, Fault> {
    let person = person(&mut *console.pool.acquire().await?, console, member).await?;
    Ok(EmailPage {
        frame: Frame::member(request, member, Section::Settings),
        form,
        present: person.email.expose().to_owned(),
        asks_password: asks_password(console, member).await?,
    })
}

/// `POST /settings/security/email`: `email`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let email = form.parse("email", Email::parse);
    let is_proved = is_proved(&console, &member, &mut form).await?;
    let (Some(email), true) = (email, is_proved) else {
        return Ok(page::refuse(&page(&request, &console, &member, form).await?));
    };
    let (mut tx, now) = begin_change(&console, &member).await?;
    let answer = match email_changes::begin(&mut tx, &console.keyring, &member, &email, now).await {
        Err(error @ (EmailChangeError::Same | EmailChangeError::TooMany)) => {
            drop(tx);
            form.complain("email", error);
            return Ok(page::refuse(&page(&request, &console, &member, form).await?));
        }
        answer => answer?,
    };
    let before = person(&mut tx, &console, &member).await?;
    let digest = email.digest(&mut tx, &console.keyring).await?;
    let replaced = unproved_accounts::organisations(&mut tx, &digest).await?;
    let replacing = unproved_accounts::mail_paragraph(&console.portal_url, &replaced);
    for mail in mails(&console.portal_url, (&before, &member), &email, (&answer, &replacing)) {
        outbox::post(&mut tx, &console.keyring, None, &mail, now).await?;
    }
    tx.commit().await?;
    Ok(page::go_to("/settings/security?done=email-sent"))
}

/// To the new address, and to the old one.
fn mails(
    portal: &str,
    (before, member): (&Person, &Member),
    new: &Email,
    (answer, replacing): (&Answer, &str),
) -> [Mail; 2] {
    // The reader of the mail may know neither.
    let name = unlinkable(before.name.as_deref().unwrap_or_default());
    let organisation = unlinkable(&member.organisation_name);
    let (subject, text) = match answer {
        Answer::Confirm(secret) => (
            "Confirm your new address",
            format!(
                "Someone wants to use this address to sign in to the Signpost account of\n\n    Name: {name}\n    Organisation: {organisation}\n\nIf this was you, open this link in the browser where you are signed in. It works for 24 hours:\n\n{portal}{HOME}/email/{}\n\n{replacing}If this wasn't you, ignore this e-mail: nothing is changed.\n",
                secret.expose()
            ),
        ),
        Answer::Known => (
            "This address has an account already",
            format!(
                "Someone wants to use this address to sign in to the Signpost account of\n\n    Name: {name}\n    Organisation: {organisation}\n\nThe address has an account of its own already, so nothing was changed.\n\nSign in to that one: {portal}/sign-in\n\nIf this wasn't you, ignore this e-mail.\n"
            ),
        ),
    };
    let to_new = Mail {
        to: new.expose().to_owned(),
        subject: subject.to_owned(),
        text,
    };
    let to_old = Mail {
        to: before.email.expose().to_owned(),
        subject: "Your address is about to change".to_owned(),
        text: format!(
            "You (or someone who uses your account) asked Signpost to let you sign in with {} in place of this address. It counts once the link that was sent there is opened.\n\nIf this wasn't you, someone else uses your account: reset your password now: {portal}/password/forgotten\n",
            new.expose()
        ),
    };
    [to_new, to_old]
}

/// `GET /settings/security/email/{token}`. Asks first: programs that look at mails open links as well.
pub async fn show_link(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    token: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&request, &member));
    };
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    match email_changes::find(&mut db, &console.keyring, &member, &secret, now).await {
        Err(EmailChangeError::NotFound) => Ok(over(&request, &member)),
        found => Ok(page::show(&ConfirmPage {
            frame: Frame::member(&request, &member, Section::Settings),
            link: Some((token.into_inner(), found?.expose().to_owned())),
        })),
    }
}

/// `POST /settings/security/email/{token}`
pub async fn confirm(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    token: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let Some(secret) = SecretText::parse(&token) else {
        return Ok(over(&request, &member));
    };
    let (mut tx, now) = begin_change(&console, &member).await?;
    let (before, email) = match email_changes::confirm(&mut tx, &console.keyring, &member, &secret, now).await {
        Err(EmailChangeError::NotFound) => return Ok(over(&request, &member)),
        confirmed => confirmed?,
    };
    let mail = Mail {
        to: before.email.expose().to_owned(),
        subject: "Your address has changed".to_owned(),
        text: format!(
            "You sign in to Signpost with {} from now on. This address opens nothing any more.\n\nIf that was not you, tell whoever runs this Signpost, or an owner of your organisation, at once.\n",
            email.expose()
        ),
    };
    outbox::post(&mut tx, &console.keyring, None, &mail, now).await?;
    tx.commit().await?;
    Ok(page::go_to("/settings/security?done=email"))
}

fn over(request: &HttpRequest, member: &Member) -> HttpResponse {
    let page = ConfirmPage {
        frame: Frame::member(request, member, Section::Settings),
        link: None,
    };
    page::answer(StatusCode::NOT_FOUND, &page)
}
