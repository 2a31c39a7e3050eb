//! What an installation lets organisations register.
use crate::hostname::Hostname;

/// The names that are reserved because they are ours, and how many domains may wait for their proof.
#[derive(Clone)]
pub struct RegistrationRules {
    pub portal: String,
    pub edge: String,
    /// Unverified domains that an organisation may have that registered itself and has verified none.
    pub unverified_domains: u32,
}

/// With each domain that an organisation verifies, it may have so many more that are not.
const UNVERIFIED_FOR_EACH_VERIFIED: i64 = 10;

impl RegistrationRules {
    /// How many unverified domains an organisation may have that registered itself.
    #[must_use]
    pub fn allowance(&self, verified: i64) -> i64 {
        i64::from(self.unverified_domains).saturating_add(verified.saturating_mul(UNVERIFIED_FOR_EACH_VERIFIED))
    }

    /// A name of ours, or one below it (below a single label such as `localhost` is everybody's).
    #[must_use]
    pub fn contain(&self, hostname: &Hostname) -> bool {
        [&self.portal, &self.edge]
            .into_iter()
            .any(|own| hostname.as_str() == own || own.contains('.') && hostname.is_within(own))
    }
}
