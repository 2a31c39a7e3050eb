//! Signatures by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, so that a receiver knows who sent it, and
//! that it is not an old one.
use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine};
use uuid::Uuid;

use crate::sealed::{Keyring, SealError};

const PREFIX: &str = "whsec_";
const LENGTH: usize = 32;

/// What an endpoint's deliveries are signed with. Has no `Debug`; shown when it is made, and sealed at rest.
pub struct Secret([u8; LENGTH]);

impl Secret {
    #[must_use]
    pub fn random() -> Self {
        Self(crate::sealed::random())
    }

    /// As its owner keeps it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(self.0))
    }

    #[must_use]
    pub fn seal(&self, keyring: &Keyring, endpoint_id: Uuid) -> Vec<u8> {
        keyring.seal(&context(endpoint_id), &self.0)
    }

    pub fn open(keyring: &Keyring, endpoint_id: Uuid, sealed: &[u8]) -> Result<Self, SealError> {
        let opened = keyring.open(&context(endpoint_id), sealed)?;
        opened.try_into().map(Self).map_err(|_| SealError::Malformed)
    }

    fn sign(&self, content: &[u8]) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), content);
        format!("v1,{}", BASE64_STANDARD.encode(tag.as_ref()))
    }
}

/// What both of an endpoint's sealed secrets are bound to: the old one is the new one of before.
#[must_use]
pub fn context(endpoint_id: Uuid) -> String {
    format!("webhook_endpoints.secret:{endpoint_id}")
}

/// The header `webhook-signature`: one signature a secret. `timestamp`: seconds since 1970.
#[must_use]
pub fn signatures(secrets: &[Secret], id: Uuid, timestamp: i64, body: &str) -> String {
    let content = format!("{id}.{timestamp}.{body}");
    let signatures = secrets.iter().map(|secret| secret.sign(content.as_bytes()));
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_the_same() {
        // printf '%s' '00000000-0000-0000-0000-000000000000.1614265330.{"test": 2432232314}' |
        //   openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf '07%.0s' {1..32}) -binary | base64
        let secrets = [Secret([7; LENGTH]), Secret([8; LENGTH])];
        let header = signatures(&secrets, Uuid::nil(), 1_614_265_330, r#"{"test": 2432232314}"#);
        let (first, second) = header.split_once(' ').unwrap();
        assert_eq!(first, "v1,s2JCGd1Z3Eap+6LYsQoWklR0/bhm5f+Trln/vyt2UHQ=");
        assert!(second.starts_with("v1,") && second != first);
        assert_eq!(
            secrets[0].expose(),
            "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
        );
    }
}
