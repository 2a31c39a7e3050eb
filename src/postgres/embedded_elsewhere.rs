//! The embedded server needs `/proc` and Unix sockets as Linux has them; elsewhere a developer sets `DATABASE_URL`.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use super::PostgresError;

pub(super) enum Embedded {}

impl Embedded {
    pub async fn open(_state_dir: &Path) -> Result<Self, PostgresError> {
        Err(PostgresError::LinuxOnly)
    }

    pub fn connect_options(&self) -> PgConnectOptions {
        match *self {}
    }

    pub async fn supervise(&self, _cancel: CancellationToken) {
        match *self {}
    }

    pub async fn leave(self) {
        match self {}
    }
}
