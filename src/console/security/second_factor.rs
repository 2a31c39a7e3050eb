//! Turning the second factor on and off, and new recovery codes.
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console, Fault, Form, Frame, HOME, Member, SecondFactorError, Section, State, asks_password, begin_change,
    failed_attempt, form, is_proved, page, person,
    qr::{self, Qr},
    second_factors, tell,
};
use crate::{
    accounts::{
        failed_attempts::Source,
        known_browsers,
        second_factors::{Code, RecoveryCode},
        sessions,
    },
    console::browser::Browser,
};

#[derive(Template)]
#[template(path = "security_second_factor.html")]
struct SecondFactorPage {
    frame: Frame,
    form: Form,
    state: State,
    /// While it is begun.
    qr: Option<Qr>,
    asks_password: bool,
}

#[derive(Template)]
#[template(path = "security_recovery_codes.html")]
struct RecoveryCodesPage {
    frame: Frame,
    codes: Vec<RecoveryCode>,
    is_new: bool,
}

/// `GET /settings/security/second-factor`
pub async fn show(request: HttpRequest, console: web::Data<Console>, member: Member) -> Result<HttpResponse, Fault> {
    let page = page(&request, &console, &member, Form::default()).await?;
    Ok(page::show(&page))
}

async fn page(
    request: &HttpRequest,
    console: &Console,
    member: &Member,
    form: Form,
) -> Result<SecondFactorPage, Fault> {
    let asks_password = asks_password(console, member).await?;
    let mut db = console.pool.acquire().await?;
    let state = second_factors::state(&mut db, &console.keyring, member).await?;
    // The secret is shown to whoever has just shown the password, and to nobody who finds the page open later.
    let state = match state {
        State::Begun(_) if asks_password => State::Off,
        state => state,
    };
    let email = person(&mut db, console, member).await?.email;
    let qr = match &state {
        State::Begun(secret) => qr::draw(&secret.uri(email.expose())),
        State::Off | State::On { .. } => None,
    };
    Ok(SecondFactorPage {
        frame: Frame::member(request, member, Section::Settings),
        form,
        state,
        qr,
        asks_password,
    })
}

/// `POST /settings/security/second-factor`: `do` is `begin`, `confirm`, `renew` or `off`; all but the first with
/// `code`.
pub async fn submit(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    payload: web::Payload,
) -> Result<HttpResponse, Fault> {
    let mut form = Form::read(&request, payload.into_inner(), form::LIMIT).await?;
    let wanted = match form.value("do") {
        "begin" => None,
        "confirm" => Some(Change::Confirm),
        "renew" => Some(Change::Renew),
        "off" => Some(Change::Off),
        "" => {
            form.complain("do", "Choose one of them.");
            return Ok(page::refuse(&page(&request, &console, &member, form).await?));
        }
        _ => return Err(Fault::NoSuchPage),
    };
    let code = match wanted {
        None => None,
        Some(_) => form.parse("code", Code::parse),
    };
    let is_proved = is_proved(&console, &member, &mut form).await?;
    let done = match (wanted, code) {
        _ if !is_proved => None,
        (None, _) => Some(begin(&console, &member).await?),
        (Some(change), Some(code)) => {
            let done = change.carry_out((&request, &console, &member), &code, &mut form);
            done.await?
        }
        (Some(_), None) => None,
    };
    match done {
        Some(response) => Ok(response),
        None => Ok(page::refuse(&page(&request, &console, &member, form).await?)),
    }
}

async fn begin(console: &Console, member: &Member) -> Result<HttpResponse, Fault> {
    let (mut tx, now) = begin_change(console, member).await?;
    match second_factors::begin(&mut tx, &console.keyring, member, now).await {
        // The page says that it is on.
        Ok(()) | Err(SecondFactorError::IsOn) => {}
        Err(error) => return Err(error.into()),
    }
    tx.commit().await?;
    Ok(page::go_to("/settings/security/second-factor"))
}

#[derive(Clone, Copy)]
enum Change {
    Confirm,
    Renew,
    Off,
}

impl Change {
    /// `None`: the code was refused, and the form says why.
    async fn carry_out(
        self,
        (request, console, member): (&HttpRequest, &Console, &Member),
        code: &Code,
        form: &mut Form,
    ) -> Result<Option<HttpResponse>, Fault> {
        let (mut tx, now) = match attempt(console, member, form).await? {
            true => begin_change(console, member).await?,
            false => return Ok(None),
        };
        let taken = match self {
            Self::Confirm => second_factors::confirm(&mut tx, &console.keyring, member, code, now).await,
            Self::Renew | Self::Off => second_factors::take(&mut tx, &console.keyring, member, code, now)
                .await
                .map(|_| Vec::new()),
        };
        let codes = match (self, taken) {
            (_, Err(SecondFactorError::Wrong)) => {
                form.complain("code", "is wrong, or was used before: wait for the next one");
                return Ok(None);
            }
            // Another window was quicker.
            (_, Err(SecondFactorError::IsOn | SecondFactorError::IsOff)) => return Ok(Some(page::go_to(HOME))),
            (Self::Confirm, codes) => {
                let codes = codes?;
                // Whoever is signed in elsewhere has shown the password alone.
                sessions::end_all(&mut tx, member, Some(member.session_id)).await?;
                known_browsers::forget(&mut tx, member.user_id, Browser::known(request).as_ref()).await?;
                codes
            }
            (Self::Renew, taken) => {
                taken?;
                second_factors::renew_recovery_codes(&mut tx, member).await?
            }
            (Self::Off, taken) => {
                taken?;
                second_factors::turn_off(&mut tx, member).await?;
                Vec::new()
            }
        };
        tell(&mut tx, console, member, self.mail(), now).await?;
        tx.commit().await?;
        Ok(Some(match self {
            Self::Off => page::go_to("/settings/security?done=second-factor-off"),
            // The one page that answers a POST itself: what it shows is kept nowhere.
            Self::Confirm | Self::Renew => page::answer(
                StatusCode::OK,
                &RecoveryCodesPage {
                    frame: Frame::member(request, member, Section::Settings),
                    codes,
                    is_new: matches!(self, Self::Confirm),
                },
            ),
        }))
    }

    fn mail(self) -> (&'static str, &'static str) {
        match self {
            Self::Confirm => (
                "The second factor is on",
                "A second factor was turned on for your Signpost account: to sign in, a code is asked for after the password.",
            ),
            Self::Renew => (
                "New recovery codes",
                "New recovery codes were made for your Signpost account. Those before don't work any more.",
            ),
            Self::Off => (
                "The second factor is off",
                "The second factor of your Signpost account was turned off: the password alone lets you in.",
            ),
        }
    }
}

async fn attempt(console: &Console, member: &Member, form: &mut Form) -> Result<bool, Fault> {
    let (mut db, now) = crate::clock::acquire(&console.pool).await?;
    let source = Source::of_session(member);
    match second_factors::take_attempt(&mut db, member, &source, now).await {
        Ok(()) => Ok(true),
        Err(error) => {
            form.complain("code", failed_attempt(error, "is wrong")?);
            Ok(false)
        }
    }
}
