//! Nonces that came with answers and are still to be used (RFC 8555 §6.5): most requests need no other.
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const MAX: usize = 64;
/// A CA forgets them as well. Using an old one costs a request more than asking for a new one.
const FRESH: Duration = Duration::from_secs(3 * 60);
const LONGEST: usize = 512;

#[derive(Default)]
pub struct Nonces(Mutex<VecDeque<(Instant, String)>>);

impl Nonces {
    pub fn put(&self, nonce: String, now: Instant) {
        let mut nonces = self.lock();
        nonces.push_back((now, nonce));
        if nonces.len() > MAX {
            nonces.pop_front();
        }
    }

    /// The youngest, which the CA remembers best.
    pub fn take(&self, now: Instant) -> Option<String> {
        let mut nonces = self.lock();
        nonces.retain(|(since, _)| now.duration_since(*since) < FRESH);
        nonces.pop_back().map(|(_, nonce)| nonce)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that isn't base64url is ignored (RFC 8555 §6.5.1).
pub fn parse(text: &str) -> Option<String> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_nonce = (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_base64url);
    is_nonce.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_used_once_the_youngest_first_and_not_when_they_are_old() {
        let (nonces, start) = (Nonces::default(), Instant::now());
        for second in 0..100 {
            nonces.put(second.to_string(), start + Duration::from_secs(second));
        }
        let take = |seconds| nonces.take(start + Duration::from_secs(seconds));
        assert_eq!(take(100).as_deref(), Some("99"));
        assert_eq!(take(100).as_deref(), Some("98"));
        assert_eq!(nonces.lock().len(), MAX - 2);
        assert_eq!(take(97 + FRESH.as_secs()), None);
        assert_eq!(nonces.lock().len(), 0);
    }

    #[test]
    fn only_base64url_is_a_nonce() {
        assert_eq!(parse("aZ09-_").as_deref(), Some("aZ09-_"));
        for text in ["", "a b", "a=", "a\"", "ä", &"a".repeat(LONGEST + 1)] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
