//! What the spool's files need once a second: to be handed to the disk, and to be deleted a while after they were
//! shipped. Disks stall, and nobody who answers waits for this.
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{shipper::Shipper, spool::Spool};

/// A loss of power costs what was answered in so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Until `cancel`. A disk that refuses does not end it.
pub async fn run(spool: Arc<Spool>, shipper: Arc<Shipper>, cancel: CancellationToken) {
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let (spool, shipper) = (spool.clone(), shipper.clone());
        let done = tokio::task::spawn_blocking(move || keep(&spool, &shipper)).await;
        let done = done.unwrap_or_else(|died| Err(io::Error::other(died)));
        if let Err(error) = &done
            && !is_failing
        {
            tracing::warn!(%error, "the request log's files can't be synced or deleted: a loss of power would cost more than a second of it");
        }
        is_failing = done.is_err();
    }
}

fn keep(spool: &Spool, shipper: &Shipper) -> io::Result<()> {
    spool.sync().and(shipper.forget_shipped(Instant::now()))
}
