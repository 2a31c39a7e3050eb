//! What the spool's files need once a second: to be handed to the disk, and to be deleted a while after they were
//! shipped. Disks stall, and nobody who answers waits for this.
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::spool::Spool;

/// A loss of power costs what was answered in so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Until `cancel`. A disk that refuses does not end it.
pub async fn run(spool: Arc<Spool>, cancel: CancellationToken) {
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let kept = spool.clone();
        let done = tokio::task::spawn_blocking(move || keep(&kept)).await;
        let done = done.unwrap_or_else(|died| Err(io::Error::other(died)));
        if let Err(error) = &done
            && !is_failing
        {
            tracing::warn!(%error, "the request log can't be handed to the disk: a loss of power would cost more than a second of it");
        }
        is_failing = done.is_err();
    }
}

fn keep(spool: &Spool) -> io::Result<()> {
    spool.sync()?;
    spool.forget_shipped(Instant::now())
}
