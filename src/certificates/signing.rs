//! A private key that is kept as bytes and parsed when it signs.
//!
//! Parsed, a key takes several times the memory of its bytes, and of a hundred thousand keys few sign
//! in any minute. A full handshake pays for the parsing, a resumed one does not.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    sign::{Signer, SigningKey},
};
use std::{fmt, sync::Arc};

/// An ECDSA key on P-256, in PKCS#8: the only kind that we make.
pub struct P256Key(Arc<[u8]>);

impl P256Key {
    pub fn new(pkcs8: Vec<u8>) -> Self {
        Self(pkcs8.into())
    }
}

impl SigningKey for P256Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        is_offered.then(|| Box::new(P256Signer(self.0.clone())) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

struct P256Signer(Arc<[u8]>);

impl Signer for P256Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let unusable = || Error::General("the private key of the certificate can't be used".into());
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.0).map_err(|_| unusable())?;
        let signature = key.sign(&SystemRandom::new(), message).map_err(|_| unusable())?;
        Ok(signature.as_ref().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

// Neither prints the key.
impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Key")
    }
}

impl fmt::Debug for P256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Signer")
    }
}
