//! The names that nobody may register because they are ours.
use crate::hostname::Hostname;

/// The names that nobody may register because they are ours.
#[derive(Clone)]
pub struct OwnHosts {
    pub portal: String,
    pub edge: String,
}

impl OwnHosts {
    /// A name of ours, or one below it (below a single label such as `localhost` is everybody's).
    #[must_use]
    pub fn contain(&self, hostname: &Hostname) -> bool {
        [&self.portal, &self.edge]
            .into_iter()
            .any(|own| hostname.as_str() == own || own.contains('.') && hostname.is_within(own))
    }
}
