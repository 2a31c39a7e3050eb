//! How well a node knows what it serves, for whoever watches it: the state of the database as the publisher sees it, and
//! of the snapshot.
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use chrono::{DateTime, SecondsFormat};

use crate::discovery::handler::Discovery;

/// Nothing was read yet.
const NEVER: i64 = i64::MIN;

pub struct Standing {
    discovery: Arc<Discovery>,
    is_database_there: AtomicBool,
    is_from_snapshot: AtomicBool,
    /// Seconds since 1970: then what is served was the same as the database.
    as_of: AtomicI64,
    refusal: OnceLock<String>,
    is_snapshot_written: AtomicBool,
}

impl Standing {
    pub(super) fn new(discovery: Arc<Discovery>) -> Self {
        Self {
            discovery,
            is_database_there: AtomicBool::new(false),
            is_from_snapshot: AtomicBool::new(false),
            as_of: AtomicI64::new(NEVER),
            refusal: OnceLock::new(),
            is_snapshot_written: AtomicBool::new(true),
        }
    }

    /// Whether the directory was ever filled, from the database or a snapshot. An empty one can answer nobody.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.discovery.directory.is_filled()
    }

    /// Whether the publisher's last look at the database succeeded.
    #[must_use]
    pub fn is_database_there(&self) -> bool {
        self.is_database_there.load(Ordering::Relaxed)
    }

    /// When what is served was last the same as the database.
    #[must_use]
    pub fn as_of(&self) -> Option<i64> {
        Some(self.as_of.load(Ordering::Relaxed)).filter(|as_of| *as_of != NEVER)
    }

    #[must_use]
    pub fn is_snapshot_refused(&self) -> bool {
        self.refusal.get().is_some()
    }

    #[must_use]
    pub fn is_snapshot_written(&self) -> bool {
        self.is_snapshot_written.load(Ordering::Relaxed)
    }

    /// In a line, as somebody reads it who wonders about this node. `None`: there is nothing to say.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let snapshot = || match self.refusal.get() {
            Some(refusal) => format!("the snapshot was refused: {refusal}"),
            None => "there is no snapshot".to_owned(),
        };
        let what = match (self.is_database_there(), self.is_filled(), self.as_of()) {
            (true, true, _) => return None,
            (true, false, _) => return Some("the directory is being loaded".to_owned()),
            (false, true, Some(as_of)) if self.is_from_snapshot.load(Ordering::Relaxed) => {
                format!("serving the snapshot of {}", moment(as_of))
            }
            (false, true, Some(as_of)) => format!("serving what was read at {}", moment(as_of)),
            (false, _, _) => snapshot(),
        };
        Some(format!("database: unreachable, {what}"))
    }

    pub(super) fn database_was_read(&self, as_of: i64) {
        self.as_of.store(as_of, Ordering::Relaxed);
        self.is_from_snapshot.store(false, Ordering::Relaxed);
        self.is_database_there.store(true, Ordering::Relaxed);
        self.discovery.directory.is_filled_now();
    }

    pub(super) fn snapshot_was_read(&self, as_of: i64) {
        self.as_of.store(as_of, Ordering::Relaxed);
        self.is_from_snapshot.store(true, Ordering::Relaxed);
        self.discovery.directory.is_filled_now();
    }

    pub(super) fn snapshot_was_refused(&self, why: &super::snapshot::Refusal) {
        // One start looks at it once.
        self.refusal.set(why.to_string()).ok();
    }

    pub(super) fn snapshot_is_written(&self, is_written: bool) {
        self.is_snapshot_written.store(is_written, Ordering::Relaxed);
    }

    pub(super) fn database_is_away(&self) {
        self.is_database_there.store(false, Ordering::Relaxed);
    }
}

fn moment(seconds: i64) -> String {
    let moment = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
