//! What goes wrong, as a page: what happened, and what to do. Nothing of it names what is inside.
use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use askama::Template;

use super::page::{self, Frame};
use crate::{
    accounts::{AccessError, clients::ClientError, organisations::OrganisationError},
    domains::{DomainError, intake::IntakeError, share_links::ShareLinkError},
    passwords::Busy,
    publisher::preview::PreviewError,
    web::error::{DatabaseFailure, DatabaseFault, Unavailable},
};

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no such page")]
    NoSuchPage,
    #[error("this page takes {0} only")]
    WrongMethod(&'static str),
    #[error("no form was sent")]
    NotAForm,
    #[error("the form is longer than {0} bytes")]
    TooLarge(usize),
    #[error("the form did not arrive as a whole")]
    Incomplete,
    /// With what was typed.
    #[error("the form does not come from a page of ours")]
    Forged(Vec<(String, String)>),
    /// With what was typed.
    #[error("nobody is signed in")]
    SignedOut(Vec<(String, String)>),
    /// Something is to be changed that needs a recent sign-in, by somebody without a password.
    #[error("the sign-in is too long ago")]
    StaleSignIn,
    /// The same, by somebody without a password who came by single sign-on.
    #[error("single sign-on is no proof for what is a person's own")]
    ProvidersWord,
    #[error("this role may not do that")]
    Forbidden,
    #[error("the organisation is suspended")]
    Suspended,
    /// Seconds to wait.
    #[error("too many attempts")]
    TooMany(u64),
    #[error("the server is busy")]
    Busy,
    /// The node knows that it is, and has not asked it.
    #[error("the database is away")]
    DatabaseAway,
    #[error("the database could not be read or written")]
    Database(#[from] sqlx::Error),
    #[error("{0}")]
    Internal(String),
}

impl From<AccessError> for Fault {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unauthenticated => Self::SignedOut(Vec::new()),
            AccessError::Forbidden(_) => Self::Forbidden,
            AccessError::NotFound => Self::NoSuchPage,
            AccessError::Database(error) => Self::Database(error),
        }
    }
}

impl From<OrganisationError> for Fault {
    fn from(error: OrganisationError) -> Self {
        match error {
            OrganisationError::Database(error) => Self::Database(error),
            OrganisationError::NotFound => Self::NoSuchPage,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotFound => Self::NoSuchPage,
            ClientError::LimitedToOneClient => Self::Forbidden,
            ClientError::Database(error) => Self::Database(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// What a form can say itself, its page says there.
impl From<DomainError> for Fault {
    fn from(error: DomainError) -> Self {
        match error {
            DomainError::NotFound | DomainError::ServerNotFound => Self::NoSuchPage,
            DomainError::Busy => Self::TooMany(10),
            DomainError::Database(error) => Self::Database(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<ShareLinkError> for Fault {
    fn from(error: ShareLinkError) -> Self {
        match error {
            ShareLinkError::NotFound => Self::NoSuchPage,
            ShareLinkError::Domain(error) => error.into(),
            ShareLinkError::Organisation(error) => error.into(),
            ShareLinkError::Database(error) => Self::Database(error),
            ShareLinkError::TooMany => Self::Internal(error.to_string()),
        }
    }
}

impl From<PreviewError> for Fault {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Domain(error) => error.into(),
            PreviewError::Unreadable(error) => Self::Internal(error.to_string()),
        }
    }
}

impl From<IntakeError> for Fault {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Access(error) => error.into(),
            IntakeError::Client(error) => error.into(),
            IntakeError::Domain(error) => error.into(),
            IntakeError::Invalid(_) => Self::Internal("a page did not say what is wrong with a domain".to_owned()),
        }
    }
}

impl From<Busy> for Fault {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    frame: Frame,
    title: &'static str,
    text: String,
    typed: Vec<(String, String)>,
    /// Where to go on, and its name.
    way: (&'static str, &'static str),
}

impl Fault {
    fn words(&self) -> (&'static str, String, (&'static str, &'static str)) {
        let home = ("/", "Go to the overview");
        if let Some(answer) = self.unavailable() {
            return (answer.title, answer.text.to_owned(), home);
        }
        match self {
            Self::NoSuchPage => (
                "There is nothing here",
                "The address is wrong, or what was here is gone, or it belongs to somebody else.".to_owned(),
                home,
            ),
            Self::WrongMethod(allowed) => ("That does not work here", format!("This page takes {allowed} only."), home),
            Self::NotAForm => (
                "That was no form",
                "Fill in the page's own form and send it from your browser. Programs use the API.".to_owned(),
                ("/docs", "Read the API's documentation"),
            ),
            Self::TooLarge(limit) => ("That is too much", format!("A form may have at most {} KB.", limit / 1024), home),
            Self::Incomplete => (
                "The form did not arrive",
                "The connection ended, or was too slow. Go back and send it again.".to_owned(),
                home,
            ),
            Self::Forged(_) => (
                "Send it once more",
                "The form was open for too long, you have signed in or out since, or it came from another site. Nothing was changed. Go back, load the page again, and send it.".to_owned(),
                home,
            ),
            Self::SignedOut(_) => (
                "You are signed out",
                "Nothing was changed. Sign in and do it again.".to_owned(),
                ("/sign-in", "Sign in"),
            ),
            Self::StaleSignIn => (
                "Sign in once more",
                "You signed in a while ago. What lets you in is changed only by somebody who has just signed in.".to_owned(),
                ("/sign-in?next=%2Fsettings%2Fsecurity", "Sign in again"),
            ),
            Self::ProvidersWord => (
                "Set a password first",
                "You came by single sign-on. What lets you in without it is changed only by somebody who has shown a password of their own. Have a link sent to your address, set a password, and sign in with it.".to_owned(),
                ("/password/forgotten", "Have the link sent"),
            ),
            Self::Forbidden => (
                "Your role does not allow that",
                "An owner or an admin of your organisation can do it, or give you another role.".to_owned(),
                home,
            ),
            Self::Suspended => (
                "Your organisation is suspended",
                "Whoever runs this Signpost has stopped service for it. Ask them why.".to_owned(),
                ("/sign-out", "Sign out"),
            ),
            Self::TooMany(seconds) => ("Not so fast", format!("There were too many attempts. Try again in {}.", span(*seconds)), home),
            Self::Busy => (
                "The server is busy",
                "Try again in a few seconds.".to_owned(),
                home,
            ),
            Self::DatabaseAway | Self::Database(_) | Self::Internal(_) => (
                "Something went wrong on our side",
                "Nothing was changed. If it stays, tell whoever runs this Signpost when it happened.".to_owned(),
                home,
            ),
        }
    }
}

impl Fault {
    /// `None`: the database is not to blame.
    fn unavailable(&self) -> Option<Unavailable> {
        match self {
            Self::DatabaseAway => Some(Unavailable::AWAY),
            Self::Database(error) => DatabaseFault::of(error).map(Unavailable::because_of),
            _ => None,
        }
    }
}

/// "20 seconds", "5 minutes".
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        ..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        if self.unavailable().is_some() {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        match self {
            Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::Forged(_) | Self::StaleSignIn | Self::ProvidersWord | Self::Forbidden | Self::Suspended => {
                StatusCode::FORBIDDEN
            }
            Self::SignedOut(_) => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::DatabaseAway | Self::Database(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        // Not of each page while the database is away: its watch logs the outage.
        if self.status_code() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, cause = std::error::Error::source(self).map(tracing::field::display), "a page failed");
        }
        let (title, text, way) = self.words();
        let typed = match self {
            Self::Forged(typed) | Self::SignedOut(typed) => typed.clone(),
            _ => Vec::new(),
        };
        let page = FaultPage {
            frame: Frame::anonymous(),
            title,
            text,
            typed,
            way,
        };
        let mut response = page::answer(self.status_code(), &page);
        let mut insert = |name, value: String| {
            if let Ok(value) = header::HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        };
        match self {
            Self::WrongMethod(allowed) => insert(header::ALLOW, (*allowed).to_owned()),
            Self::TooMany(seconds) => insert(header::RETRY_AFTER, seconds.to_string()),
            Self::Busy => insert(header::RETRY_AFTER, "5".to_owned()),
            _ => {}
        }
        if let Some(answer) = self.unavailable() {
            insert(header::RETRY_AFTER, answer.retry_after.to_string());
        }
        if let Self::Database(error) = self
            && let Some(failure) = DatabaseFailure::of(error)
        {
            response.extensions_mut().insert(failure);
        }
        response
    }
}
