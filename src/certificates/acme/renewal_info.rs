//! When a CA would like a certificate to be renewed (RFC 9773).
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer, X509Certificate},
};

use super::{CaError, address, reply::Reply};

/// A window in which the CA would like the certificate to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalInfo {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// A page for people that says why, if it is other than usual.
    pub explanation_url: Option<String>,
    /// When to ask again: as the CA says it, however long or short.
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    suggested_window: Window,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

#[derive(Deserialize)]
struct Window {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

/// What a CA knows the certificate by (RFC 9773 §4.1): its issuer's key and its serial number. None if it does not
/// say by whose key it is signed.
pub fn certificate_id(leaf_der: &[u8]) -> Option<String> {
    let (_, leaf) = X509Certificate::from_der(leaf_der).ok()?;
    let key = leaf
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(of) => of.key_identifier.as_ref(),
            _ => None,
        })?;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{}.{}", encode(key.0), encode(leaf.raw_serial())))
}

pub fn read(reply: &Reply) -> Result<RenewalInfo, CaError> {
    let document: Document = reply.json("the renewal information")?;
    let Window { start, end } = document.suggested_window;
    if end <= start {
        return Err(CaError::malformed("a window for renewal that ends before it begins"));
    }
    Ok(RenewalInfo {
        start,
        end,
        explanation_url: document.explanation_url.and_then(|text| address::page(&text)),
        retry_after: reply.retry_after(),
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    /// RFC 9773, appendix A: its serial number begins with a zero that belongs to it.
    const EXAMPLE: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
";

    #[test]
    fn a_certificate_is_named_as_in_the_rfc() {
        let leaf = CertificateDer::from_pem_slice(EXAMPLE).unwrap();
        assert_eq!(
            certificate_id(&leaf).as_deref(),
            Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
        );
        let pair = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        assert_eq!(certificate_id(own.der()), None);
        assert_eq!(certificate_id(b"no certificate"), None);
    }
}
