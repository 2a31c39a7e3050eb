//! Which nodes are alive: each says so, so that others wait for it, and don't wait for one that is gone.
pub mod store;

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A node that was not seen for this long is not waited for.
pub const LIVE_SECONDS: f64 = 15.0;
const BEAT: Duration = Duration::from_secs(5);
/// When the process ends, it takes no longer to say so.
const FAREWELL: Duration = Duration::from_millis(500);

/// Says that this node lives. The id is of one run of a process: what it held in memory ends with it.
pub struct Presence {
    pub pool: PgPool,
    pub node_id: Uuid,
    /// Whose challenges it answers.
    pub issuer: String,
}

impl Presence {
    pub async fn beat(&self) -> Result<(), sqlx::Error> {
        store::beat(&mut *self.pool.acquire().await?, self.node_id, &self.issuer).await
    }

    /// Until `cancel`. Without the database the others take the node for dead, and it goes on.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            // That the database is away is said elsewhere.
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = tokio::time::timeout(BEAT, self.beat()) => {}
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        // Should it fail, we are unseen soon.
        tokio::time::timeout(FAREWELL, self.leave()).await.ok();
    }

    async fn leave(&self) -> Result<(), sqlx::Error> {
        store::leave(&mut *self.pool.acquire().await?, self.node_id).await
    }
}
