//! Every hostname that is served and what it answers, in memory. Readers take no lock and see a
//! change at once; a change touches one entry, however many there are.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_lc_rs::hmac;
use papaya::HashMap;
use uuid::Uuid;

use super::{hit::UserDigest, policy::Policy};
use crate::hostname::Hostname;

/// What a hostname answers, and to whom it belongs.
pub struct Entry {
    pub hostname: Hostname,
    pub domain_id: Uuid,
    pub client_id: Uuid,
    pub organisation: Arc<Organisation>,
    pub policy: Policy,
    /// Where people who open the domain in a browser are sent.
    pub website_url: Option<Box<str>>,
}

/// What all domains of an organisation share.
pub struct Organisation {
    pub organisation_id: Uuid,
    user_digest_key: hmac::Key,
}

impl Organisation {
    #[must_use]
    pub fn new(organisation_id: Uuid, user_digest_key: &[u8]) -> Self {
        Self {
            organisation_id,
            user_digest_key: hmac::Key::new(hmac::HMAC_SHA256, user_digest_key),
        }
    }

    /// `user` is decoded and in lower case.
    #[must_use]
    pub fn digest(&self, user: &[u8]) -> UserDigest {
        let tag = hmac::sign(&self.user_digest_key, user);
        let mut digest = UserDigest::default();
        digest.copy_from_slice(&tag.as_ref()[..size_of::<UserDigest>()]);
        digest
    }
}

/// Hostname → entry. The hasher is seeded at random: who registers names can't choose collisions.
#[derive(Default)]
pub struct Directory {
    entries: HashMap<Hostname, Arc<Entry>>,
    is_filled: AtomicBool,
}

impl Directory {
    /// `host` in lower case, without port and trailing dot.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Arc<Entry>> {
        self.entries.pin().get(host).cloned()
    }

    /// Whether it was ever filled. Until then a hostname that is not there may well be known: no device is to hear
    /// otherwise, it would enroll elsewhere.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.is_filled.load(Ordering::Acquire)
    }

    pub fn is_filled_now(&self) {
        self.is_filled.store(true, Ordering::Release);
    }

    pub fn put(&self, entry: Entry) {
        self.entries.pin().insert(entry.hostname.clone(), Arc::new(entry));
    }

    pub fn remove(&self, hostname: &str) {
        self.entries.pin().remove(hostname);
    }

    /// Drops every entry that `keep` does not name.
    pub fn retain(&self, mut keep: impl FnMut(&Hostname) -> bool) {
        self.entries.pin().retain(|hostname, _| keep(hostname));
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
