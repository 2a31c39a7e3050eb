//! The loop that keeps a node fresh.
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::Publisher;

/// A change that no notification announced is served after this at the latest.
const POLL: Duration = Duration::from_millis(150);
/// Between two attempts while the database is away.
const RETRY: Duration = Duration::from_secs(1);

impl Publisher {
    /// Keeps everything fresh until `cancel`. Losing the database is no reason to stop: it is tried
    /// again, and meanwhile what is in memory is served.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut listener = None;
        let mut is_away = !self.standing.is_database_there();
        loop {
            if listener.is_none() {
                listener = self.listen().await;
            }
            let refreshed = tokio::select! {
                () = cancel.cancelled() => break,
                refreshed = self.refresh() => refreshed,
            };
            let pause = match refreshed {
                Ok(_) => {
                    is_away = false;
                    POLL
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        crate::telemetry::log_failed_work("changes are not followed: serving what is in memory", error);
                    }
                    self.standing.database_is_away();
                    listener = None;
                    RETRY
                }
            };
            self.settle().await;
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = hint(&mut listener) => {}
            }
        }
        self.settle_now().await;
    }

    async fn listen(&self) -> Option<PgListener> {
        let mut listener = PgListener::connect_with(&self.pool).await.ok()?;
        listener.listen("signpost_directory").await.ok()?;
        Some(listener)
    }
}

/// Returns when something was announced. A listener that lost its connection is dropped; polling goes on.
async fn hint(listener: &mut Option<PgListener>) {
    let Some(listening) = listener else {
        return std::future::pending().await;
    };
    if !matches!(listening.try_recv().await, Ok(Some(_))) {
        *listener = None;
        std::future::pending().await
    }
}
