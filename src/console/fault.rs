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
            Self::Database(error) if is_away(error) => (
                "The database is away",
                "Devices are still answered. Nothing was changed; try again in a minute.".to_owned(),
                home,
            ),
            Self::Database(error) if has_given_way(error) => (
                "Somebody was quicker",
                "The same was changed elsewhere at this very moment. Nothing was changed by you: do it again.".to_owned(),
                home,
            ),
            Self::Database(_) | Self::Internal(_) => (
                "Something went wrong on our side",
                "Nothing was changed. If it stays, tell whoever runs this Signpost when it happened.".to_owned(),
                home,
            ),
        }
    }
}

fn is_away(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)
    )
}

/// Of two changes that met, ours: `deadlock_detected`, `serialization_failure`.
fn has_given_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40P01" | "40001"))
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
            Self::Database(error) if is_away(error) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(error) if has_given_way(error) => StatusCode::CONFLICT,
            Self::Database(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if self.status_code().is_server_error() {
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
        response
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, fmt};

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// What the database says, as far as its code goes.
    #[derive(Debug)]
    struct Said(&'static str);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Said {}

    impl DatabaseError for Said {
        fn message(&self) -> &str {
            self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn of_two_changes_that_met_the_one_that_gave_way_is_no_fault_of_ours() {
        for (code, status) in [("40P01", 409), ("40001", 409), ("42P01", 500)] {
            let fault = Fault::Database(sqlx::Error::Database(Box::new(Said(code))));
            assert_eq!(fault.status_code().as_u16(), status, "{code}");
        }
    }
}
