//! Has PostgreSQL analyse tables that bulk writes fill. Its own analysis comes up to a minute after a bulk write has
//! ended, and until then plans are those of small tables: sessions keep them until a table is analysed.
mod store;

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

pub struct Statistics {
    pub pool: PgPool,
}

impl Statistics {
    /// Runs until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let analyzed = tokio::select! {
                () = cancel.cancelled() => return,
                analyzed = self.analyze_outdated() => analyzed,
            };
            let pause = match analyzed {
                Ok(_) => POLL_INTERVAL,
                // PostgreSQL analyses the tables later by itself.
                Err(error) => {
                    tracing::debug!(event = "statistics.failed", %error, "could not analyse tables");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Analyses every table of which a fifth has changed since it was analysed last. Returns how many there were.
    pub async fn analyze_outdated(&self) -> Result<usize, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let outdated = store::list_outdated(&mut db).await?;
        for table in &outdated {
            store::analyze(&mut db, table).await?;
        }
        Ok(outdated.len())
    }
}
