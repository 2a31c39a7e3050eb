//! The account's key, as far as answering needs it: what is answered follows from the key and the token.
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use rustls_acme::acme::{self, Account, AcmeError, Directory};

use super::{ChallengeType, memory::Answer};
use crate::{
    certificates::account::key_context,
    sealed::{Keyring, SealError},
};

/// Computes the answers of one account.
pub struct Answering(Account);

#[derive(Debug, thiserror::Error)]
pub enum UnusableAccount {
    #[error("the key of the ACME account does not open: {0}")]
    Sealed(#[from] SealError),
    #[error("the key of the ACME account can't be used")]
    Key,
}

impl Answering {
    pub fn open(keyring: &Keyring, issuer: &str, key_sealed: &[u8]) -> Result<Self, UnusableAccount> {
        Self::new(&keyring.open(&key_context(issuer), key_sealed)?)
    }

    /// `key`: PKCS#8.
    pub fn new(key: &[u8]) -> Result<Self, UnusableAccount> {
        let key_pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).map_err(|_| UnusableAccount::Key)?;
        // It signs nothing and asks nobody: the CA's addresses play no part.
        let directory = Directory {
            new_nonce: String::new(),
            new_account: String::new(),
            new_order: String::new(),
        };
        Ok(Self(Account {
            key_pair,
            directory,
            kid: String::new(),
        }))
    }

    /// Whether both are one account: a key that was sealed anew answers as before.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.key_pair.public_key().as_ref() == other.0.key_pair.public_key().as_ref()
    }

    /// RFC 8555 §8.3, RFC 8737 §3.
    pub fn answer(&self, hostname: &str, token: &str, typ: ChallengeType) -> Result<Answer, AcmeError> {
        let challenge = |typ| {
            [acme::Challenge {
                typ,
                url: String::new(),
                token: token.to_owned(),
                error: None,
            }]
        };
        match typ {
            ChallengeType::Http01 => {
                let challenge = challenge(acme::ChallengeType::Http01);
                let (_, key_authorization) = self.0.http_01(&challenge)?;
                Ok(Answer::Http(Bytes::from(key_authorization)))
            }
            ChallengeType::TlsAlpn01 => {
                let challenge = challenge(acme::ChallengeType::TlsAlpn01);
                let (_, key) = self.0.tls_alpn_01(&challenge, hostname.to_owned())?;
                Ok(Answer::Tls(Arc::new(key)))
            }
        }
    }
}

/// What a validation of `token` by HTTP-01 is answered; none if the key can't be used.
#[must_use]
pub fn key_authorization(key: &[u8], token: &str) -> Option<String> {
    let challenge = [acme::Challenge {
        typ: acme::ChallengeType::Http01,
        url: String::new(),
        token: token.to_owned(),
        error: None,
    }];
    let account = Answering::new(key).ok()?.0;
    account.http_01(&challenge).ok().map(|(_, answer)| answer)
}
