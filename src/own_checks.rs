//! How a node recognises a check, a probe or a self-test of its own installation: by a header with an HMAC over the
//! hostname and the minute, under a key that all nodes derive from the secret keys. Such a request is no device's: it
//! makes no row, no count and no event.
use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

/// The header's name, in lower case.
pub const HEADER: &str = "signpost-check";
/// What the key is derived for.
pub const KEY_PURPOSE: &str = "own checks v1";

const TAG_BYTES: usize = 32;
/// The tag in base64url.
const VALUE_LENGTH: usize = 43;
const SECONDS_PER_MINUTE: i64 = 60;

/// Makes and recognises the header. Has no `Debug`.
#[derive(Clone)]
pub struct OwnChecks {
    /// The first one signs, every one verifies: during a rotation nodes may differ in the first.
    keys: Vec<hmac::Key>,
}

impl OwnChecks {
    #[must_use]
    pub fn new(keys: &[[u8; 32]]) -> Self {
        let key = |key: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, key);
        Self {
            keys: keys.iter().map(key).collect(),
        }
    }

    /// The header's value for a request about `hostname` (lower case, A-labels) at `seconds` since 1970.
    #[must_use]
    pub fn sign(&self, hostname: &str, seconds: i64) -> Option<String> {
        let key = self.keys.first()?;
        let tag = sign(key, hostname, minute(seconds));
        Some(BASE64_URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whether `value` was made for `hostname` in this minute, the one before or the one after. Compares in constant
    /// time, and computes nothing for what is no such value by its length.
    #[must_use]
    pub fn is_own(&self, value: &[u8], hostname: &str, seconds: i64) -> bool {
        let mut tag = [0; TAG_BYTES];
        if value.len() != VALUE_LENGTH || BASE64_URL_SAFE_NO_PAD.decode_slice(value, &mut tag) != Ok(TAG_BYTES) {
            return false;
        }
        let now = minute(seconds);
        let is_of = |key: &hmac::Key, minute| {
            aws_lc_rs::constant_time::verify_slices_are_equal(sign(key, hostname, minute).as_ref(), &tag).is_ok()
        };
        self.keys
            .iter()
            .any(|key| [now, now - 1, now + 1].into_iter().any(|minute| is_of(key, minute)))
    }
}

fn minute(seconds: i64) -> i64 {
    seconds.div_euclid(SECONDS_PER_MINUTE)
}

fn sign(key: &hmac::Key, hostname: &str, minute: i64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(hostname.as_bytes());
    context.update(&[0]);
    context.update(&minute.to_be_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_for_its_hostname_and_its_minute() {
        let (one, other) = (OwnChecks::new(&[[1; 32], [2; 32]]), OwnChecks::new(&[[2; 32], [1; 32]]));
        let stranger = OwnChecks::new(&[[3; 32]]);
        let value = one.sign("contoso.com", 6_000).unwrap();
        for (hostname, seconds, expected) in [
            ("contoso.com", 6_000, true),
            ("contoso.com", 6_119, true),
            ("contoso.com", 5_940, true),
            ("contoso.com", 6_120, false),
            ("contoso.com", 5_939, false),
            ("fabrikam.com", 6_000, false),
        ] {
            assert_eq!(
                one.is_own(value.as_bytes(), hostname, seconds),
                expected,
                "{hostname} {seconds}"
            );
        }
        assert!(other.is_own(value.as_bytes(), "contoso.com", 6_000));
        assert!(!stranger.is_own(value.as_bytes(), "contoso.com", 6_000));
        let by_stranger = stranger.sign("contoso.com", 6_000).unwrap();
        let longer = format!("{value}A");
        for value in ["", "x", &value[1..], &longer, &"!".repeat(VALUE_LENGTH), &by_stranger] {
            assert!(!one.is_own(value.as_bytes(), "contoso.com", 6_000), "{value}");
        }
        assert_eq!(OwnChecks::new(&[]).sign("contoso.com", 6_000), None);
    }
}
