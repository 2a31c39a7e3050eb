//! Classifies errors of the database: is the statement wrong, or can the database not carry out any at the moment?
use sqlx::{
    Error,
    error::DatabaseError,
    postgres::{PgDatabaseError, PgSeverity},
};

/// Why the database did not carry out a statement that is not itself at fault. The same statement may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    /// There is no connection, or it ended before the answer.
    Unreachable,
    /// The server accepts no session of ours: the password, the access rules, or the database is gone.
    Refused,
    /// Connections, memory or disk are used up, or the server's own I/O fails.
    Exhausted,
    /// A timeout ended the statement or its transaction.
    TimedOut,
    /// Another transaction holds a lock, or won a deadlock or a serialization conflict.
    Conflict,
    /// The server takes no changes. Reading works.
    ReadOnly,
}

impl DatabaseFault {
    /// `None`: the statement or its data is wrong.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => Some(Self::Unreachable),
            Error::PoolTimedOut | Error::PoolClosed => Some(Self::Exhausted),
            Error::Database(error) => {
                let by_code = error.code().and_then(|code| Self::of_sqlstate(&code));
                by_code.or_else(|| ends_session(&**error).then_some(Self::Refused))
            }
            _ => None,
        }
    }

    /// Same for an error that wraps one of the database at any depth.
    #[must_use]
    pub fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| Self::of(cause.downcast_ref()?))
    }

    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn of_sqlstate(code: &str) -> Option<Self> {
        match code {
            "25006" => Some(Self::ReadOnly), // read_only_sql_transaction
            // query_canceled, idle_in_transaction_session_timeout, transaction_timeout
            "57014" | "25P03" | "25P04" => Some(Self::TimedOut),
            // lock_not_available, serialization_failure, deadlock_detected
            "55P03" | "40001" | "40P01" => Some(Self::Conflict),
            "3D000" | "57P04" => Some(Self::Refused), // invalid_catalog_name, database_dropped
            _ => match code.get(..2)? {
                "08" => Some(Self::Unreachable),
                "28" => Some(Self::Refused),
                "53" | "58" => Some(Self::Exhausted),
                "57" if code.starts_with("57P") => Some(Self::Unreachable),
                _ => None,
            },
        }
    }
}

/// Whatever its code: no wrong statement costs the session, such as `FATAL: database is not accepting connections`.
fn ends_session(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether the database is away, overloaded or was interrupted: the caller did nothing wrong and may try again.
#[must_use]
pub fn is_unavailable(error: &Error) -> bool {
    DatabaseFault::of(error).is_some_and(|fault| fault != DatabaseFault::ReadOnly)
}

/// Whether the server refused a change because it takes none at the moment.
#[must_use]
pub fn is_read_only(error: &Error) -> bool {
    DatabaseFault::of(error) == Some(DatabaseFault::ReadOnly)
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, fmt, io};

    use sqlx::error::ErrorKind;

    use super::{DatabaseFault::*, *};

    /// An error of the server with this SQLSTATE.
    #[derive(Debug)]
    struct Sqlstate(&'static str);

    impl fmt::Display for Sqlstate {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Sqlstate {}

    impl DatabaseError for Sqlstate {
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

    fn sqlstate(code: &'static str) -> Error {
        Error::Database(Box::new(Sqlstate(code)))
    }

    /// Every condition of PostgreSQL 17 in the classes that have one which is the server's own trouble, and one of
    /// each other class.
    const SQLSTATES: &[(&str, Option<DatabaseFault>)] = &[
        ("00000", None),
        ("01000", None),
        ("02000", None),
        ("03000", None),
        ("08000", Some(Unreachable)),
        ("08001", Some(Unreachable)),
        ("08003", Some(Unreachable)),
        ("08004", Some(Unreachable)),
        ("08006", Some(Unreachable)),
        ("08007", Some(Unreachable)),
        ("08P01", Some(Unreachable)),
        ("09000", None),
        ("0A000", None),
        ("0B000", None),
        ("0F000", None),
        ("0L000", None),
        ("0P000", None),
        ("0Z000", None),
        ("10608", None),
        ("20000", None),
        ("21000", None),
        ("22000", None),
        ("22P02", None),
        ("23000", None),
        ("23503", None),
        ("23505", None),
        ("24000", None),
        ("25000", None),
        ("25001", None),
        ("25006", Some(ReadOnly)),
        ("25P01", None),
        ("25P02", None),
        ("25P03", Some(TimedOut)),
        ("25P04", Some(TimedOut)),
        ("26000", None),
        ("27000", None),
        ("28000", Some(Refused)),
        ("28P01", Some(Refused)),
        ("2B000", None),
        ("2D000", None),
        ("2F000", None),
        ("34000", None),
        ("38000", None),
        ("39000", None),
        ("3B000", None),
        ("3D000", Some(Refused)),
        ("3F000", None),
        ("40000", None),
        ("40001", Some(Conflict)),
        ("40002", None),
        ("40003", None),
        ("40P01", Some(Conflict)),
        ("42000", None),
        ("42501", None),
        ("42P01", None),
        ("44000", None),
        ("53000", Some(Exhausted)),
        ("53100", Some(Exhausted)),
        ("53200", Some(Exhausted)),
        ("53300", Some(Exhausted)),
        ("53400", Some(Exhausted)),
        ("54000", None),
        ("54001", None),
        ("55000", None),
        ("55006", None),
        ("55P02", None),
        ("55P03", Some(Conflict)),
        ("55P04", None),
        ("57000", None),
        ("57014", Some(TimedOut)),
        ("57P01", Some(Unreachable)),
        ("57P02", Some(Unreachable)),
        ("57P03", Some(Unreachable)),
        ("57P04", Some(Refused)),
        ("57P05", Some(Unreachable)),
        ("58000", Some(Exhausted)),
        ("58030", Some(Exhausted)),
        ("58P01", Some(Exhausted)),
        ("58P02", Some(Exhausted)),
        ("58P03", Some(Exhausted)),
        ("F0000", None),
        ("HV000", None),
        ("P0001", None),
        ("XX000", None),
        ("XX001", None),
        ("", None),
    ];

    #[test]
    fn each_sqlstate_is_the_statements_fault_or_the_databases() {
        for (code, fault) in SQLSTATES {
            let error = sqlstate(code);
            assert_eq!(DatabaseFault::of(&error), *fault, "{code}");
            let is_away = fault.is_some_and(|fault| fault != ReadOnly);
            assert_eq!(is_unavailable(&error), is_away, "{code}");
            assert_eq!(is_read_only(&error), *fault == Some(ReadOnly), "{code}");
        }
    }

    #[test]
    fn an_error_of_the_connection_or_the_pool_is_the_databases_fault() {
        let io = || io::Error::from(io::ErrorKind::ConnectionReset);
        for (error, fault) in [
            (Error::Io(io()), Some(Unreachable)),
            (Error::Tls(Box::new(io())), Some(Unreachable)),
            (Error::Protocol("half a message".to_owned()), Some(Unreachable)),
            (Error::WorkerCrashed, Some(Unreachable)),
            (Error::PoolTimedOut, Some(Exhausted)),
            (Error::PoolClosed, Some(Exhausted)),
            (Error::RowNotFound, None),
            (Error::ColumnNotFound("a".to_owned()), None),
            (Error::Decode(Box::new(io())), None),
        ] {
            assert_eq!(DatabaseFault::of(&error), fault, "{error}");
            assert_eq!(is_unavailable(&error), fault.is_some(), "{error}");
        }
    }

    #[test]
    fn a_fault_is_found_below_other_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Error);
        assert_eq!(DatabaseFault::within(&Outer(sqlstate("57P01"))), Some(Unreachable));
        assert_eq!(DatabaseFault::within(&Outer(sqlstate("42P01"))), None);
        assert_eq!(DatabaseFault::within(&sqlstate("25006")), Some(ReadOnly));
    }
}
