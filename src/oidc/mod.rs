//! Asks an OpenID provider: where it is, what it signs with, and who somebody is. Knows no database and no person here.
//!
//! Whatever a provider says is hostile until it is signed, and what is signed is no more than the provider's word. Every
//! request goes through `outbound`, with a deadline and a cap.
mod http;
mod identity;
mod provider;

use std::time::Duration;

use crate::{dns::Dns, outbound::Outbound};
pub use identity::{Answer, Identity, RedeemError};
pub use provider::{Config, DiscoveryError, Request};

/// For one request. A sign-in makes three, and somebody waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an answer. Google's keys have 2 KB, Entra's 20.
const MAX_BODY: usize = 256 * 1024;

/// Cheap to clone.
#[derive(Clone)]
pub struct Oidc {
    outbound: Outbound,
    dns: Dns,
    patience: Duration,
}

/// As whom we ask. Has no `Debug`.
pub struct Client<'a> {
    pub id: &'a str,
    pub secret: &'a str,
    /// Where the provider sends people back to.
    pub redirect_url: &'a str,
}

impl Oidc {
    #[must_use]
    pub fn new(outbound: Outbound, dns: Dns) -> Self {
        Self {
            outbound,
            dns,
            patience: PATIENCE,
        }
    }
}
