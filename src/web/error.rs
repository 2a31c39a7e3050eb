//! How a request is answered when the database did not carry out a statement: the status, the texts and the time to wait,
//! which are the same for programs and for people.
use sqlx::{Error, error::DatabaseError};

pub use crate::postgres::{DatabaseFault, is_read_only, is_unavailable};

/// For the response's extensions: a request failed because of the database. The portal's outermost layer reports it.
#[derive(Clone, Debug)]
pub struct DatabaseFailure {
    pub fault: DatabaseFault,
    /// For the log.
    pub error: String,
}

impl DatabaseFailure {
    /// `None`: the statement itself is wrong, which is an error of this program.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        let fault = DatabaseFault::of(error)?;
        Some(Self {
            fault,
            error: describe(error),
        })
    }

    /// Same for an error that wraps one of the database.
    #[must_use]
    pub fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| Self::of(cause.downcast_ref()?))
    }
}

fn describe(error: &Error) -> String {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map_or_else(|| error.to_string(), |code| format!("{error} ({code})"))
}

/// What the caller is told. The status is always 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    pub title: &'static str,
    pub text: &'static str,
    /// Seconds.
    pub retry_after: u64,
}

impl Unavailable {
    pub const AWAY: Self = Self {
        title: "The database is away",
        text: "The database can't be reached. Devices are still answered; try again shortly. A change that you had just sent may not be saved.",
        retry_after: 5,
    };

    #[must_use]
    pub fn because_of(fault: DatabaseFault) -> Self {
        match fault {
            DatabaseFault::Unreachable | DatabaseFault::Refused => Self::AWAY,
            DatabaseFault::Exhausted => Self {
                title: "The database is overloaded",
                text: "The database could not do this now. Devices are still answered, and nothing was changed; try again shortly.",
                retry_after: 5,
            },
            DatabaseFault::TimedOut => Self {
                title: "This took too long",
                text: "The database took too long for this. Nothing was changed; try again shortly.",
                retry_after: 5,
            },
            DatabaseFault::Conflict => Self {
                title: "Somebody else changed the same",
                text: "Another request changed the same things at this moment. Nothing was done: send it again.",
                retry_after: 1,
            },
            DatabaseFault::ReadOnly => Self {
                title: "Nothing can be changed at the moment",
                text: "The database is read-only. Everything can be read, devices are answered, and nothing was changed; try again later.",
                retry_after: 30,
            },
        }
    }
}

/// The result of noting something that a request can do without, such as when a token was last used: a database that
/// takes no changes is no reason to refuse to read.
pub fn unless_read_only(noted: Result<(), Error>) -> Result<(), Error> {
    match noted {
        Err(error) if is_read_only(&error) => Ok(()),
        noted => noted,
    }
}
