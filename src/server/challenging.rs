//! What answers a CA's validations on this node, where certificates come from one.
use std::sync::Arc;

use uuid::Uuid;

use super::Installation;
use crate::{
    certificates::challenges::{Challenges, watch::Watcher},
    config::{Certificates, Challenge, Settings},
    discovery::validation::Validation,
    tasks::Tasks,
};

pub struct Challenging {
    challenges: Arc<Challenges>,
    watcher: Watcher,
    typ: Challenge,
    public_https_port: u16,
}

impl Challenging {
    /// `None` with certificates of our own making. Knows what is open before the first request comes in.
    pub async fn new(settings: &Settings, installation: &Installation, node_id: Uuid) -> Option<Self> {
        if settings.certificates != Certificates::Acme {
            return None;
        }
        let challenges = Arc::new(Challenges::default());
        let mut watcher = Watcher::new(
            installation.postgres.background().clone(),
            installation.keyring.clone(),
            settings.acme.directory.to_string(),
            node_id,
            challenges.clone(),
        );
        if installation.is_database_there
            && let Err(error) = watcher.look().await
        {
            tracing::warn!(%error, "ACME challenges can't be read");
        }
        Some(Self {
            challenges,
            watcher,
            typ: settings.acme.challenge,
            public_https_port: settings.public_https_port,
        })
    }

    /// For the front door.
    pub fn validation(&self) -> Arc<Validation> {
        let challenges = self.challenges.clone();
        Arc::new(Validation {
            answers: Box::new(move |host, token| challenges.http_01(host, token)),
            public_https_port: self.public_https_port,
        })
    }

    /// For handshakes, if the CA validates by them.
    pub fn in_handshakes(&self) -> Option<Arc<Challenges>> {
        (self.typ == Challenge::TlsAlpn01).then(|| self.challenges.clone())
    }

    pub fn start(self, tasks: &mut Tasks) {
        tasks.spawn("challenges", self.watcher.run(tasks.cancel()));
    }
}
