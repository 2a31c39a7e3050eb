//! Talks to one ACME CA (RFC 8555): the shapes, keys and challenge answers are `rustls-acme`'s, the exchange is ours.
//! Knows nothing of the database, of other nodes, or of when anything is to be done.
mod address;
mod chain;
mod directory;
mod exchange;
mod jws;
mod nonces;
mod problem;
mod renewal_info;
mod reply;
mod session;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use chrono::{DateTime, Utc};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls_acme::acme;
use serde_json::json;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};
use url::Url;

use crate::clock;
use directory::{Cached, Directory};
use exchange::{Exchange, IfBroken, Question};
use jws::Signer;
use reply::Reply;

pub use directory::Offers;
pub use problem::{CaError, Problem};
pub use renewal_info::{RenewalInfo, certificate_id};
pub use session::{Authorization, NewOrder, Placed, Polled, Session};

/// How long an order waits for the one before it.
const A_TURN: Duration = Duration::from_secs(1);

/// When an answer came, by the clock of this node: a CA says how long to wait from then.
#[expect(clippy::disallowed_methods, reason = "this module knows nothing of the database")]
fn now() -> DateTime<Utc> {
    clock::now()
}

/// One CA, known by the address of its directory.
pub struct Ca {
    url: Url,
    exchange: Exchange,
    directory: Cached,
    /// Held while an order is placed.
    placing: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum CaSetupError {
    #[error("a CA's directory is at an https address without a user name, and this is {0}")]
    Address(Url),
    #[error("the extra root is not a certificate in PEM: {0}")]
    Root(String),
    #[error("the extra root can't be trusted: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no HTTPS client: {0}")]
    Client(String),
}

pub struct NewAccount<'a> {
    /// Where the CA may write to; `mailto:` is added.
    pub contact: Option<&'a str>,
    pub eab: Option<&'a Eab>,
}

/// An account of the CA's own kind, which the ACME account is to belong to (RFC 8555 §7.3.4). Has no `Debug`: it
/// holds a secret.
pub struct Eab {
    pub key_id: String,
    /// Base64url.
    pub key: String,
}

impl Ca {
    /// `extra_root_pem`: authorities to be trusted beside the public ones, for a CA of one's own.
    pub fn new(directory: Url, extra_root_pem: Option<&[u8]>) -> Result<Self, CaSetupError> {
        if !address::is_askable(&directory) {
            return Err(CaSetupError::Address(directory));
        }
        let roots = CertificateDer::pem_slice_iter(extra_root_pem.unwrap_or_default()).collect::<Result<Vec<_>, _>>();
        let roots = roots.map_err(|error| CaSetupError::Root(error.to_string()))?;
        if extra_root_pem.is_some() && roots.is_empty() {
            return Err(CaSetupError::Root("there is none".into()));
        }
        Ok(Self {
            url: directory,
            exchange: Exchange::new(&roots)?,
            directory: Cached::default(),
            placing: Mutex::default(),
        })
    }

    /// How long it may take for one request, 30 seconds otherwise. A question takes twice that at most.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        let exchange = self.exchange.with_patience(patience);
        Self { exchange, ..self }
    }

    /// What everything of this CA is stored under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.as_str()
    }

    /// The address of the key's account, which is made at the first call. Agrees to the CA's terms.
    pub async fn new_account(&self, key: &[u8], new: &NewAccount<'_>) -> Result<String, CaError> {
        let key = key_pair(key)?;
        let directory = self.directory().await?;
        let url = &directory.new_account;
        let mut payload = json!({ "termsOfServiceAgreed": true });
        if let Some(contact) = new.contact {
            let address = contact.strip_prefix("mailto:").unwrap_or(contact);
            payload["contact"] = json!([format!("mailto:{address}")]);
        }
        if let Some(eab) = new.eab {
            payload["externalAccountBinding"] = json!(jws::bind(&key, eab, url.as_str())?);
        }
        let question = Question {
            url,
            payload: &payload.to_string(),
            signer: Signer::Key(&key),
            // A key has one account, however often it is made (RFC 8555 §7.3.1).
            if_broken: IfBroken::AskAgain,
        };
        let reply = self.doubted(self.post(&question).await).await?;
        Ok(reply.location()?.into())
    }

    /// An account that was made before.
    pub fn account(&self, key: &[u8], url: &str) -> Result<Session<'_>, CaError> {
        let account = acme::Account {
            key_pair: key_pair(key)?,
            kid: address::parse(url)?.into(),
            // The library's exchange would ask there, and is not used.
            directory: acme::Directory {
                new_nonce: String::new(),
                new_account: String::new(),
                new_order: String::new(),
            },
        };
        Ok(Session { ca: self, account })
    }

    /// When the CA would like this certificate to be renewed. `certificate_id` is that of [`certificate_id`].
    pub async fn renewal_info(&self, certificate_id: &str) -> Result<RenewalInfo, CaError> {
        let directory = self.directory().await?;
        let base = directory.renewal_info.as_ref();
        let base = base.ok_or(CaError::NotOffered("renewal information"))?;
        let url = format!("{}/{certificate_id}", base.as_str().trim_end_matches('/'));
        let reply = self.exchange.get(&address::parse(&url)?).await?;
        renewal_info::read(&reply)
    }

    pub async fn offers(&self) -> Result<Offers, CaError> {
        Ok(self.directory().await?.offers.clone())
    }

    async fn directory(&self) -> Result<Arc<Directory>, CaError> {
        self.directory.read(&self.exchange, &self.url).await
    }

    async fn post(&self, question: &Question<'_>) -> Result<Reply, CaError> {
        let directory = self.directory().await?;
        self.exchange.post(&directory.new_nonce, question).await
    }

    /// Orders are placed one after the other: a limit that the first meets is not met by thirty at once. One that hangs
    /// holds up nobody for long.
    async fn turn_to_place(&self) -> Option<MutexGuard<'_, ()>> {
        timeout(A_TURN, self.placing.lock()).await.ok()
    }

    /// The outcome of asking where the directory says.
    async fn doubted(&self, outcome: Result<Reply, CaError>) -> Result<Reply, CaError> {
        if let Err(error) = &outcome {
            self.directory.doubt(error).await;
        }
        outcome
    }
}

/// From PKCS#8, as `rustls_acme::acme::Account::generate_key_pair` makes it.
fn key_pair(pkcs8: &[u8]) -> Result<EcdsaKeyPair, CaError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
        .map_err(|_| CaError::Unasked("the account's key can't be used"))
}
