//! Secrets that a person's browser or mailbox holds: 32 letters and digits. We keep their SHA-256 only.
use aws_lc_rs::{digest, hmac};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::token::random_characters;

/// Has no `Debug`.
#[derive(Clone)]
pub struct SecretText(String);

impl SecretText {
    #[must_use]
    pub fn random() -> Self {
        Self(random_characters())
    }

    /// `None` for what is none of ours, without asking the database.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_ours.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref().to_vec()
    }

    /// Another secret that follows from this one, for one purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, purpose.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_shape_and_tells_nothing_of_what_follows_from_it() {
        let secret = SecretText::random();
        assert_eq!(
            SecretText::parse(secret.expose()).map(|same| same.digest()),
            Some(secret.digest())
        );
        assert_ne!(secret.derive("one"), secret.derive("other"));
        assert_ne!(secret.derive("one"), SecretText::random().derive("one"));
        for text in [
            "",
            "short",
            &"a".repeat(33),
            &format!("{}-", "a".repeat(31)),
            &"é".repeat(16),
        ] {
            assert!(SecretText::parse(text).is_none(), "{text}");
        }
    }
}
