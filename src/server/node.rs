//! This node among the others: that it lives, what it answers a CA's validations, and what it is seen to serve.
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::Result;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Installation, challenging::Challenging, names::reachable, outside};
use crate::{
    certificates::{
        challenges::Challenges,
        nodes::Presence,
        served::{Looker, Names, Public, Served, watch::Watch},
    },
    config::{Certificates, Settings},
    discovery::validation::Validation,
    tasks::Tasks,
};

pub struct Member {
    pool: PgPool,
    node_id: Uuid,
    issuer: String,
    challenging: Option<Challenging>,
    pub served: Arc<Served>,
}

/// What is looked at from outside.
pub struct Looks {
    pub names: Names,
    /// Of this node's listener.
    pub https: SocketAddr,
    /// From the start of the listeners until they are to stop.
    pub ready: Arc<AtomicBool>,
}

impl Member {
    /// The others wait for it from now on, so it knows what it is to answer before the first request comes in.
    pub async fn join(settings: &Settings, installation: &Installation) -> Self {
        let (pool, node_id) = (installation.postgres.background().clone(), Uuid::now_v7());
        let issuer = issuer(settings);
        let presence = presence(&pool, node_id, &issuer);
        if installation.is_database_there
            && let Err(error) = presence.beat().await
        {
            tracing::warn!(%error, "the other nodes don't know yet that this one lives");
        }
        Self {
            challenging: Challenging::new(settings, installation, node_id).await,
            pool,
            node_id,
            issuer,
            served: Arc::default(),
        }
    }

    /// For the front door.
    pub fn validation(&self) -> Option<Arc<Validation>> {
        self.challenging.as_ref().map(Challenging::validation)
    }

    /// For handshakes, if the CA validates by them.
    pub fn challenges(&self) -> Option<Arc<Challenges>> {
        self.challenging.as_ref().and_then(Challenging::in_handshakes)
    }

    pub fn start(self, settings: &Settings, looks: Looks, tasks: &mut Tasks) -> Result<()> {
        tasks.spawn(
            "presence",
            presence(&self.pool, self.node_id, &self.issuer).run(tasks.cancel()),
        );
        if let Some(challenging) = self.challenging {
            challenging.start(tasks);
        }
        let looker = Looker::new(self.pool, looks.names, self.node_id, looks.ready)?;
        let public = Public::new(
            looker.clone(),
            &public_addresses(settings),
            &outside::outbound(settings),
        );
        let changes = public.map(|(public, changes)| {
            tasks.spawn("certificates: seen in public", public.run(tasks.cancel()));
            changes
        });
        let watch = Watch::new(looker, reachable(looks.https), self.served, changes);
        tasks.spawn("certificates: seen from outside", watch.run(tasks.cancel()));
        Ok(())
    }
}

fn presence(pool: &PgPool, node_id: Uuid, issuer: &str) -> Presence {
    Presence {
        pool: pool.clone(),
        node_id,
        issuer: issuer.to_owned(),
    }
}

/// Whose challenges are answered; of nobody's CA none are.
fn issuer(settings: &Settings) -> String {
    match settings.certificates {
        Certificates::Internal => "internal".to_owned(),
        Certificates::Acme => settings.acme.directory.to_string(),
    }
}

/// Where a device gets our certificates. Those of our own making are for trials, or something else stands in public.
fn public_addresses(settings: &Settings) -> Vec<SocketAddr> {
    match settings.certificates {
        Certificates::Internal => Vec::new(),
        Certificates::Acme => {
            let with_port = |address| SocketAddr::new(address, settings.public_https_port);
            settings.edge_addresses.iter().copied().map(with_port).collect()
        }
    }
}
