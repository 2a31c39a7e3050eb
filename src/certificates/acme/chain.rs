//! The certificates that a CA hands out (RFC 8555 §9.1).
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CaError;

const MAX_CERTIFICATES: usize = 10;
/// Each goes into every handshake.
const MAX_SIZE: usize = 16 * 1024;

/// As DER, the leaf first. What is in them is not judged.
pub fn read(pem: &[u8]) -> Result<Vec<Vec<u8>>, CaError> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| CaError::malformed(format!("the certificate: {error}")))?;
        if chain.len() == MAX_CERTIFICATES || certificate.len() > MAX_SIZE {
            return Err(CaError::malformed("a chain of certificates too long for a handshake"));
        }
        let is_whole = X509Certificate::from_der(&certificate).is_ok_and(|(rest, _)| rest.is_empty());
        if !is_whole {
            return Err(CaError::malformed("a certificate that is not X.509"));
        }
        chain.push(certificate.to_vec());
    }
    match chain.is_empty() {
        true => Err(CaError::malformed("no certificate where there should be one")),
        false => Ok(chain),
    }
}
