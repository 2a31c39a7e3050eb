//! What a CA offers and where (RFC 8555 §7.1.1), remembered for a while.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls_acme::acme;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::{CaError, address, exchange::Exchange, reply::Reply};
use crate::input::plain;

/// CAs rarely change their directory, and no restart should be needed when they do.
const FRESH: Duration = Duration::from_secs(60 * 60);
const PROFILES: usize = 32;
const PROFILE: usize = 64;

/// What a CA says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// It suggests times for renewals (RFC 9773).
    pub renewal_info: bool,
    /// Kinds of certificates that may be asked for by name (draft-ietf-acme-profiles).
    pub profiles: Vec<String>,
    /// An account here belongs to one elsewhere (RFC 8555 §7.3.4).
    pub eab_required: bool,
    pub terms_of_service: Option<String>,
}

pub struct Directory {
    pub new_nonce: Url,
    pub new_account: Url,
    pub new_order: Url,
    pub renewal_info: Option<Url>,
    pub revoke: Option<Url>,
    pub offers: Offers,
}

/// Beside what the library reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extras {
    renewal_info: Option<String>,
    revoke_cert: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    terms_of_service: Option<String>,
    external_account_required: bool,
    profiles: BTreeMap<String, Value>,
}

impl Directory {
    fn read(reply: &Reply) -> Result<Self, CaError> {
        let of_library: acme::Directory = reply.json("the directory")?;
        let extras: Extras = reply.json("the directory")?;
        let optional = |text: Option<String>| text.map(|text| address::parse(&text)).transpose();
        let renewal_info = optional(extras.renewal_info)?;
        let Meta {
            terms_of_service,
            external_account_required,
            profiles,
        } = extras.meta;
        let is_name = |name: &String| name.len() <= PROFILE && plain(name, PROFILE) == *name;
        Ok(Self {
            new_nonce: address::parse(&of_library.new_nonce)?,
            new_account: address::parse(&of_library.new_account)?,
            new_order: address::parse(&of_library.new_order)?,
            revoke: optional(extras.revoke_cert)?,
            offers: Offers {
                renewal_info: renewal_info.is_some(),
                profiles: profiles.into_keys().filter(is_name).take(PROFILES).collect(),
                eab_required: external_account_required,
                terms_of_service: terms_of_service.and_then(|text| address::page(&text)),
            },
            renewal_info,
        })
    }
}

type Outcome = Result<Arc<Directory>, CaError>;

#[derive(Default)]
pub struct Cached(Mutex<Option<(Instant, Outcome)>>);

impl Cached {
    /// Many may ask at once: one reads it, and the others take what that one got, also if it got nothing.
    pub async fn read(&self, exchange: &Exchange, url: &Url) -> Outcome {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        match &*last {
            Some((at, Ok(directory))) if at.elapsed() < FRESH => return Ok(directory.clone()),
            Some((at, Err(error))) if *at >= asked => return Err(error.clone()),
            _ => {}
        }
        let outcome = exchange.get(url).await;
        let outcome = outcome.and_then(|reply| Directory::read(&reply)).map(Arc::new);
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }

    /// If it sent us to where there is nothing, it is to be read again.
    pub async fn doubt(&self, error: &CaError) {
        let is_nowhere = match error {
            CaError::Unreachable(_) | CaError::Malformed(_) => true,
            CaError::Refused(problem) => matches!(problem.status, 404 | 405 | 410),
            CaError::Timeout | CaError::NotOffered(_) | CaError::Unasked(_) => false,
        };
        if is_nowhere {
            *self.0.lock().await = None;
        }
    }
}
