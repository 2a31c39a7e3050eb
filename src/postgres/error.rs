use std::io;
use std::path::PathBuf;

/// Why there is no database. Each message is one line that says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },

    #[error(
        "{} belongs to user {owner}: run signpost as that user or as root, or set another SIGNPOST_STATE_DIR",
        path.display()
    )]
    ForeignOwner { path: PathBuf, owner: String },

    #[error(
        "{path} belongs to root, and PostgreSQL refuses to run as root: give it to another user (chown -R \
         postgres: {path})",
        path = path.display()
    )]
    DataOfRoot { path: PathBuf },

    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as: \
         create one, or set DATABASE_URL"
    )]
    NoServiceUser,

    #[error(
        "PostgreSQL refuses to run as root, and root may not become user {user} here (a container without \
         CAP_CHOWN, or of one user only?): run signpost as another user, or set DATABASE_URL"
    )]
    CannotChangeUser { user: String },

    #[error(
        "user id {uid} has no name, which the embedded PostgreSQL needs: add it to /etc/passwd, or set \
         DATABASE_URL"
    )]
    NamelessUser { uid: u32 },

    #[error(
        "no PostgreSQL that can be used here ({rejected}), and fetching one from github.com failed ({fetch}): \
         install the package {package}, or set DATABASE_URL"
    )]
    NotInstalled {
        rejected: String,
        fetch: String,
        package: String,
    },

    #[error("cannot run {} as user {user}: {source}", program.display())]
    Run {
        program: PathBuf,
        user: String,
        source: io::Error,
    },

    #[error("initdb could not make a database in {}: {reason}", path.display())]
    Initdb { path: PathBuf, reason: String },

    #[error(
        "{} is not a PostgreSQL data directory (no PG_VERSION in it): restore it, or move it away to begin \
         with an empty database",
        path.display()
    )]
    NotADataDirectory { path: PathBuf },

    #[error("PostgreSQL did not start: {reason} (see {})", log.display())]
    NotStarted { reason: String, log: PathBuf },

    #[error("PostgreSQL runs but has not answered for {seconds} seconds (see {})", log.display())]
    Silent { seconds: u64, log: PathBuf },

    #[error(
        "another signpost process has held {} for {seconds} seconds: end it, or wait until it has started or \
         stopped PostgreSQL",
        path.display()
    )]
    Locked { path: PathBuf, seconds: u64 },

    #[error("PostgreSQL turned the connection down: {0}")]
    Refused(#[source] sqlx::Error),

    #[error("the database schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),

    #[error("an embedded PostgreSQL runs on Linux only: set DATABASE_URL")]
    LinuxOnly,
}

#[cfg(target_os = "linux")]
impl PostgresError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
