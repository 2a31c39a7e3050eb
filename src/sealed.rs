//! Seals and opens secret columns: XChaCha20-Poly1305 under a key of the secret key file, bound to
//! the row it belongs to. Several keys may be in the file: the first seals, every one opens.
use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use aws_lc_rs::{digest, hmac, rand};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

const PREFIX: &str = "sgk_";
const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;
const KEY_ID: usize = 4;

/// Names a key without telling it: the first bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; KEY_ID]);

impl KeyId {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for KeyId {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The keys in force. Has no `Debug`: nothing may print it.
pub struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    derivation: hmac::Key,
}

impl Keyring {
    /// Reads a file of keys, one a line; empty lines and lines that start with `#` are skipped.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| KeyFileError::Unreadable(path.display().to_string(), error))?;
        let keys = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(index, line)| {
                Key::parse(line.trim()).ok_or_else(|| KeyFileError::Malformed(path.display().to_string(), index + 1))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyFileError::Malformed(path.display().to_string(), 1));
        }
        Ok(Self { keys })
    }

    /// Makes a key file with one new key, readable by its owner only. An existing file is left alone.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let unwritable = |error| KeyFileError::Unreadable(path.display().to_string(), error);
        let secret = random::<32>();
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(unwritable)?;
        let line = format!(
            "# Signpost's secret keys: the first seals, all open. Keep a copy: without them no certificate key can be read.\n{PREFIX}{}\n",
            BASE64_URL_SAFE_NO_PAD.encode(secret)
        );
        file.write_all(line.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(unwritable)?;
        Self::load(path)
    }

    /// The ids of all keys, the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.keys[0].id
    }

    /// Whether `sealed` says that the key that seals now has sealed it. Opens nothing.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=KEY_ID) == Some(self.current().as_bytes())
    }

    /// The same secret under the key that seals now.
    pub fn reseal(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(self.seal(context, &self.open(context, sealed)?))
    }

    /// `context` names the row and column (`certificates.key:<id>`): what was sealed for one opens for no other.
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let nonce = random::<NONCE>();
        let payload = Payload {
            msg: plaintext,
            aad: context.as_bytes(),
        };
        let sealed = key
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a message of less than 256 GiB can be encrypted");
        [&[VERSION], key.id.as_bytes(), &nonce, &sealed].concat()
    }

    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER).ok_or(SealError::Malformed)?;
        let (id, nonce) = header
            .strip_prefix(&[VERSION])
            .ok_or(SealError::Malformed)?
            .split_at(KEY_ID);
        let key = self
            .keys
            .iter()
            .find(|key| key.id.as_bytes() == id)
            .ok_or(SealError::UnknownKey)?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| SealError::Malformed)?;
        let payload = Payload {
            msg: ciphertext,
            aad: context.as_bytes(),
        };
        key.cipher
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Forged)
    }

    /// A secret for one purpose, the same as long as the first key stays.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.keys[0].derivation, purpose.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}

impl Keyring {
    /// The same of every key, in their order: what another node derived from another first key.
    pub fn derive_all(&self, purpose: &str) -> Vec<[u8; 32]> {
        let derive = |key: &Key| {
            let tag = hmac::sign(&key.derivation, purpose.as_bytes());
            tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
        };
        self.keys.iter().map(derive).collect()
    }
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let secret: [u8; 32] = BASE64_URL_SAFE_NO_PAD
            .decode(line.strip_prefix(PREFIX)?)
            .ok()?
            .try_into()
            .ok()?;
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest::digest(&digest::SHA256, &secret).as_ref()[..KEY_ID]);
        // The cipher and the derivation each get a key of their own from the secret.
        let root = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let cipher_key: [u8; 32] = hmac::sign(&root, b"signpost seal v1").as_ref().try_into().ok()?;
        let derivation = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"signpost derive v1").as_ref());
        Some(Self {
            id: KeyId(id),
            cipher: XChaCha20Poly1305::new(&cipher_key.into()),
            derivation,
        })
    }
}

/// `N` bytes from the operating system's generator.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("SIGNPOST_SECRET_KEY_FILE: can't read or write {0}: {1}")]
    Unreadable(String, #[source] std::io::Error),
    #[error("SIGNPOST_SECRET_KEY_FILE: {0} line {1}: expected `sgk_` and 43 base64url characters")]
    Malformed(String, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("this was sealed under a key that is not in the secret key file")]
    UnknownKey,
    #[error("this is not a sealed value")]
    Malformed,
    #[error("this sealed value was changed, or belongs to another row")]
    Forged,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(lines: &[&str]) -> Keyring {
        Keyring {
            keys: lines.iter().map(|line| Key::parse(line).expect("a key")).collect(),
        }
    }

    fn key_line(byte: u8) -> String {
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode([byte; 32]))
    }

    #[test]
    fn what_is_sealed_opens_for_its_own_row_only() {
        let keyring = keyring(&[&key_line(1)]);
        let sealed = keyring.seal("certificates.key:a", b"secret");
        assert_eq!(keyring.open("certificates.key:a", &sealed), Ok(b"secret".to_vec()));
        assert_eq!(keyring.open("certificates.key:b", &sealed), Err(SealError::Forged));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn a_changed_bit_anywhere_does_not_open() {
        let keyring = keyring(&[&key_line(1)]);
        let sealed = keyring.seal("row", b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keyring.open("row", &changed).is_err(), "byte {at}");
            assert!(keyring.open("row", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn after_a_rotation_the_old_key_still_opens_and_the_new_one_seals() {
        let (old, new) = (key_line(1), key_line(2));
        let sealed = keyring(&[&old]).seal("row", b"secret");
        let both = keyring(&[&new, &old]);
        assert_eq!(both.open("row", &sealed), Ok(b"secret".to_vec()));
        assert_eq!(keyring(&[&new]).open("row", &sealed), Err(SealError::UnknownKey));
        assert_eq!(keyring(&[&new]).open("row", &both.seal("row", b"x")), Ok(b"x".to_vec()));
    }

    #[test]
    fn what_is_sealed_anew_needs_the_first_key_only() {
        let (old, new) = (key_line(1), key_line(2));
        let sealed = keyring(&[&old]).seal("row", b"secret");
        let both = keyring(&[&new, &old]);
        assert!(!both.is_current(&sealed) && !both.is_current(&[]) && !both.is_current(&sealed[..3]));
        assert_eq!(both.reseal("other row", &sealed), Err(SealError::Forged));
        let resealed = both.reseal("row", &sealed).expect("sealed anew");
        assert!(both.is_current(&resealed));
        assert_eq!(keyring(&[&new]).open("row", &resealed), Ok(b"secret".to_vec()));
        assert_eq!(both.current().to_string().len(), 8);
    }
}
