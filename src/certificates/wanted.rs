//! Hostnames that may want a certificate now, told by whoever noticed. Only a hint: a sweep finds what was not told.
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

/// More than this many hints are as good as none: the sweep is cheaper.
const MAX: usize = 10_000;

#[derive(Default)]
pub struct Wanted {
    hostnames: Mutex<HashSet<String>>,
    told: Notify,
}

impl Wanted {
    pub fn add(&self, hostname: &str) {
        let mut hostnames = self.hostnames.lock().unwrap_or_else(PoisonError::into_inner);
        if hostnames.len() < MAX {
            hostnames.insert(hostname.to_owned());
        }
        drop(hostnames);
        self.told.notify_one();
    }

    /// What was told since the last call.
    pub fn take(&self) -> Vec<String> {
        let mut hostnames = self.hostnames.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *hostnames).into_iter().collect()
    }

    /// Returns when something was told.
    pub async fn told(&self) {
        self.told.notified().await;
    }
}
