//! A server that answers, and the order in which it stops.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::dev::ServerHandle;
use anyhow::Result;

use super::{Addresses, Installation, own};
use crate::{
    certificates::{Issuer, resolver::Resolver},
    config::Settings,
    discovery::handler::Discovery,
    passwords::Passwords,
    request_log::{shipper::Shipper, spool::Spool},
    sealed::Keyring,
    tasks::Tasks,
};

/// How long each step of stopping may take: together less than the ten seconds that a supervisor waits.
const GRACE: Duration = Duration::from_millis(3_000);
const FLUSH: Duration = Duration::from_secs(2);
const TASKS: Duration = Duration::from_secs(1);
const CLOSE: Duration = Duration::from_millis(2_500);

/// A server that answers.
pub struct Running {
    pub(super) tasks: Tasks,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) handles: Vec<ServerHandle>,
    pub(super) spool: Arc<Spool>,
    pub(super) shipper: Arc<Shipper>,
    pub(super) installation: Arc<Installation>,
    pub addresses: Addresses,
    pub(super) discovery: Arc<Discovery>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) issuer: Arc<Issuer>,
}

impl Running {
    /// Returns when a part has died that the rest can't do without.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        self.tasks.died().await.into()
    }

    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.installation.keyring.clone()
    }

    /// Whether handshakes for `hostname` get a certificate, also for a host of our own.
    #[must_use]
    pub fn shows(&self, hostname: &str) -> bool {
        self.resolver.shows(hostname)
    }

    /// Who signs the certificates.
    #[must_use]
    pub fn issuer(&self) -> Arc<Issuer> {
        self.issuer.clone()
    }

    /// Whether devices get an answer for `hostname`, also over TLS.
    #[must_use]
    pub fn serves(&self, hostname: &str) -> bool {
        self.discovery.directory.find(hostname).is_some() && self.resolver.has(hostname)
    }

    /// Says that it is not ready, and answers on: a load balancer looks only now and then.
    pub(super) async fn drain(&self, patience: Duration) {
        self.ready.store(false, Ordering::Release);
        tokio::time::sleep(patience).await;
    }

    /// Stops accepting, answers what is in flight, flushes the request log, stops the rest.
    pub async fn stop(self) -> Result<()> {
        self.ready.store(false, Ordering::Release);
        let stopped = futures_util::future::join_all(self.handles.iter().map(|handle| handle.stop(true)));
        if tokio::time::timeout(GRACE, stopped).await.is_err() {
            tracing::warn!("requests in flight were cut off");
        }
        if let Err(error) = tokio::task::spawn_blocking(move || self.spool.sync()).await? {
            tracing::warn!(%error, "the request log could not be handed to the disk");
        }
        match tokio::time::timeout(FLUSH, self.shipper.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the request log waits on disk for the next start"),
            Err(_) => tracing::warn!("the request log is not all shipped: the rest waits on disk for the next start"),
        }
        if tokio::time::timeout(TASKS, self.tasks.stop()).await.is_err() {
            tracing::warn!("background tasks were cut off");
        }
        // Handlers and tasks have ended, and the server may not know: what waits for a lock is not told.
        self.installation.postgres.terminate_statements().await;
        drop(self.shipper);
        if let Some(installation) = Arc::into_inner(self.installation)
            && tokio::time::timeout(CLOSE, installation.close()).await.is_err()
        {
            tracing::warn!("the database takes long to stop: not waiting for it");
        }
        Ok(())
    }

    pub(super) async fn show_demo(&self, settings: &Settings) -> Result<()> {
        let pool = self.installation.postgres.background();
        let token = crate::demo::fill(
            pool,
            &self.installation.keyring,
            &own(settings),
            &settings.edge_addresses,
        )
        .await?;
        let password = crate::demo::let_in(pool, &self.installation.keyring, &Passwords::default()).await?;
        for _ in 0..200 {
            if self.serves(crate::demo::HOSTNAME) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        print!(
            "{}",
            super::banner::banner(settings, &self.addresses, &token, &password)
        );
        Ok(())
    }
}
