//! What the embedded server's socket says.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Error};
use tokio::time::timeout;

use super::PostgresError;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Ready,
    /// Ready, but new: without our database.
    NoDatabase,
    /// It is starting, recovering or stopping.
    Busy,
    /// Somebody accepted, and says nothing.
    Silence,
    /// Nobody listens.
    Nobody,
}

/// Role and database are made by us, and are called `signpost`; the operating system tells the server who we are.
pub(super) fn options(socket_dir: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(5432) // part of the socket's name
        .username("signpost")
        .database("signpost")
        .ssl_mode(PgSslMode::Disable)
}

pub(super) async fn ask(options: &PgConnectOptions) -> Result<Answer, PostgresError> {
    match timeout(ANSWER_LIMIT, options.connect()).await {
        Ok(Ok(connection)) => {
            connection.close().await.ok(); // it has answered: how it says good-bye does not matter
            Ok(Answer::Ready)
        }
        Ok(Err(error)) => meaning(&error).ok_or(PostgresError::Refused(error)),
        Err(_elapsed) => Ok(Answer::Silence),
    }
}

pub(super) async fn create_database(options: &PgConnectOptions) -> Result<(), PostgresError> {
    let create = async {
        let mut connection = options.clone().database("postgres").connect().await?;
        sqlx::query("create database signpost").execute(&mut connection).await?;
        connection.close().await
    };
    create.await.map_err(PostgresError::Refused)
}

/// SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn meaning(error: &Error) -> Option<Answer> {
    match error {
        Error::Io(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Some(Answer::Nobody),
            ErrorKind::WouldBlock | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Some(Answer::Busy)
            }
            _ => None,
        },
        Error::Database(error) => match error.code()?.as_ref() {
            "3D000" => Some(Answer::NoDatabase),               // invalid_catalog_name
            "57P01" | "57P02" | "57P03" => Some(Answer::Busy), // admin_shutdown, crash_shutdown, cannot_connect_now
            "53300" => Some(Answer::Ready),                    // too_many_connections: others are being served
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_listens_where_there_is_no_socket() {
        let answer = ask(&options(Path::new("/nonexistent"))).await;
        assert_eq!(answer.unwrap(), Answer::Nobody);
    }
}
