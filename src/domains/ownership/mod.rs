//! Who owns a hostname: the TXT record that proves it, and which of several claims holds.
//! Several organisations may claim one name; one of them holds it and is served.
pub mod claims;
pub mod proof;
pub mod settle;
pub mod store;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::{Domain, connection::RecordCheck};

/// Where the record stands.
#[must_use]
pub fn record_name(hostname: &str) -> String {
    format!("_signpost.{hostname}")
}

/// What it says: the same for one (organisation, hostname) for ever, so that a domain that is deleted
/// and registered again needs no new record, and another organisation's record proves nothing.
#[must_use]
pub fn record_value(ownership_key: &[u8], hostname: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, ownership_key), hostname.as_bytes());
    format!(
        "signpost-verification={}",
        BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..20])
    )
}

/// The record of `domain`, beside what the last answer held.
#[must_use]
pub fn record_check(domain: &Domain) -> RecordCheck {
    let proof = &domain.claim.proof;
    RecordCheck {
        kind: "TXT",
        name: record_name(&domain.hostname),
        expected: vec![record_value(&domain.ownership_key, &domain.hostname)],
        observed: domain.seen.ownership_observed.clone(),
        ok: match (proof.seen_since, proof.missing_since) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => Some(false),
            (None, None) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_depends_on_the_organisation_and_the_hostname_and_on_nothing_else() {
        let value = record_value(b"key", "contoso.com");
        assert_eq!(value, record_value(b"key", "contoso.com"));
        assert_ne!(value, record_value(b"other", "contoso.com"));
        assert_ne!(value, record_value(b"key", "fabrikam.com"));
        assert_eq!(value.len(), "signpost-verification=".len() + 27);
    }
}
