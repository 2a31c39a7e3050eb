//! Our own CA, for trials and tests: a root made once in the state directory (`ca.pem`, to be
//! trusted by whoever tries Signpost), its key sealed beside it.
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use aws_lc_rs::digest;
use chrono::{DateTime, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use time::OffsetDateTime;

use super::{IssueError, Issued};
use crate::{
    clock::DatabaseTime,
    sealed::{Keyring, SealError},
};

const KEY_CONTEXT: &str = "internal-ca.key";
const LIFE: Duration = Duration::days(90);
const ROOT_LIFE: Duration = Duration::days(3650);
/// Clocks of devices differ.
const BACKDATE: Duration = Duration::hours(1);

pub struct InternalCa {
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

#[derive(Debug, thiserror::Error)]
pub enum InternalCaError {
    #[error("the internal CA in {0} can't be read or written: {1}")]
    File(String, #[source] std::io::Error),
    #[error("the key of the internal CA ({0}) does not open: {1}")]
    Sealed(String, #[source] SealError),
    #[error("the internal CA can't be used: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl InternalCa {
    /// Opens the CA of `state_dir`, made at the first call.
    pub fn open(state_dir: &Path, keyring: &Keyring, now: DateTime<Utc>) -> Result<Self, InternalCaError> {
        let (certificate, key) = (state_dir.join("ca.pem"), state_dir.join("ca.key.sealed"));
        let file = |path: &Path| {
            let path = path.display().to_string();
            move |error| InternalCaError::File(path, error)
        };
        if !key.try_exists().map_err(file(&key))? {
            let (pem, sealed) = make_root(keyring, now)?;
            // The key last: a root without its key is made again, a key without its root can't be.
            write(&certificate, pem.as_bytes(), 0o644).map_err(file(&certificate))?;
            write(&key, &sealed, 0o600).map_err(file(&key))?;
        }
        let pem = fs::read_to_string(&certificate).map_err(file(&certificate))?;
        let sealed = fs::read(&key).map_err(file(&key))?;
        let pkcs8 = keyring
            .open(KEY_CONTEXT, &sealed)
            .map_err(|error| InternalCaError::Sealed(key.display().to_string(), error))?;
        if !keyring.is_current(&sealed)
            && let Err(error) = write(&key, &keyring.seal(KEY_CONTEXT, &pkcs8), 0o600)
        {
            let file = key.display();
            tracing::warn!(%error, "{file} can't be sealed under the first secret key: it still needs an older one");
        }
        let pair = KeyPair::try_from(pkcs8)?;
        let fingerprint = digest::digest(&digest::SHA256, pem.as_bytes());
        let name = format!("internal:{}", crate::input::hexadecimal(&fingerprint.as_ref()[..6]));
        Ok(Self {
            name,
            issuer: Issuer::from_ca_cert_pem(&pem, pair)?,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn issue(&self, hostname: &str, now: DatabaseTime) -> Result<Issued, IssueError> {
        let pair = KeyPair::generate()?;
        let (not_before, not_after) = ((now - BACKDATE).get(), (now + LIFE).get());
        let mut params = CertificateParams::new([hostname.to_owned()])?;
        // A common name holds at most 64 characters (RFC 5280); the SAN is what counts.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = instant(not_before);
        params.not_after = instant(not_after);
        params.serial_number = Some(serial());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&pair, &self.issuer)?;
        Ok(Issued {
            chain: vec![certificate.der().to_vec()],
            key: pair.serialize_der(),
            not_before,
            not_after,
        })
    }
}

fn make_root(keyring: &Keyring, now: DateTime<Utc>) -> Result<(String, Vec<u8>), rcgen::Error> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Signpost internal CA (trial)");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_before = instant(now - BACKDATE);
    params.not_after = instant(now + ROOT_LIFE);
    params.serial_number = Some(serial());
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&pair)?;
    Ok((certificate.pem(), keyring.seal(KEY_CONTEXT, &pair.serialize_der())))
}

/// Positive and at most 20 octets (RFC 5280 §4.1.2.2).
fn serial() -> SerialNumber {
    let mut bytes = crate::sealed::random::<16>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn instant(at: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Whole or not at all: written beside and renamed.
fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)
}
