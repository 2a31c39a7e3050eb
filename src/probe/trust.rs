//! Which certificate authorities are believed: those that the web believes, and those that are added for trials.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// Named by whoever asks: trusted also as a server's own, which no authority's is.
    added: Arc<Vec<CertificateDer<'static>>>,
    pub provider: Arc<CryptoProvider>,
}

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    #[error("it can't be read: {0}")]
    Unreadable(String),
}

impl Trust {
    /// The web's authorities, and those of each `pem`.
    pub fn new<'a>(pems: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TrustError> {
        let mut added = Vec::new();
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        for pem in pems {
            let certificates = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| TrustError::Unreadable(error.to_string()))?;
            if certificates.is_empty() {
                return Err(TrustError::NoCertificate);
            }
            for certificate in certificates {
                roots
                    .add(certificate.clone())
                    .map_err(|error| TrustError::Unreadable(error.to_string()))?;
                added.push(certificate);
            }
        }
        Ok(Self {
            roots: roots.into(),
            added: added.into(),
            provider: rustls::crypto::aws_lc_rs::default_provider().into(),
        })
    }

    /// Whether a path leads from the first of `chain` to a root, all of it valid at `at`.
    pub fn verify_path(&self, chain: &[CertificateDer<'_>], at: DateTime<Utc>) -> Result<(), CertificateError> {
        let (leaf, others) = chain.split_first().ok_or(CertificateError::BadEncoding)?;
        if self.added.iter().any(|added| added.as_ref() == leaf.as_ref()) {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(leaf).map_err(certificate_error)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, others, unix(at), algorithms)
            .map_err(certificate_error)
    }

    /// Whether `leaf` is for `name`, a host name or an address. The common name does not count.
    pub fn verify_name(leaf: &CertificateDer<'_>, name: &str) -> Result<(), CertificateError> {
        let parsed = ParsedCertificate::try_from(leaf).map_err(certificate_error)?;
        let name = ServerName::try_from(name).map_err(|_| CertificateError::NotValidForName)?;
        verify_server_name(&parsed, &name).map_err(certificate_error)
    }
}

fn unix(at: DateTime<Utc>) -> UnixTime {
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn certificate_error(error: Error) -> CertificateError {
    match error {
        Error::InvalidCertificate(error) => error,
        _ => CertificateError::BadEncoding,
    }
}
