//! Which Microsoft Entra tenant a domain belongs to. Entra publishes it for every domain that a tenant has verified,
//! so nobody needs to paste a tenant ID, and one that was pasted can be checked.
//!
//! Asks the clouds at the same time and ends after five seconds. That no cloud knows a domain is said only when all
//! have said so.
mod answer;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesOrdered};
use http::{HeaderValue, header::ACCEPT};
use tokio::{sync::Semaphore, time::Instant};
use url::Url;
use uuid::Uuid;

use crate::{
    dns::Dns,
    hostname::Hostname,
    outbound::{FetchError, Get, Outbound},
};
use answer::Told;

/// For one look-up, the wait for its turn among them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of the whole process. Entra throttles whoever asks too much.
const AT_ONCE: usize = 32;
/// The document has about 2 KiB.
const MAX_BODY: usize = 64 * 1024;

/// In the order in which they are believed.
const MICROSOFTS: [(Cloud, &str); 3] = [
    (Cloud::Global, "https://login.microsoftonline.com"),
    (Cloud::UsGovernment, "https://login.microsoftonline.us"),
    (Cloud::China, "https://login.partner.microsoftonline.cn"),
];

/// Asks Entra. Cheap to clone.
#[derive(Clone)]
pub struct Entra {
    outbound: Outbound,
    dns: Dns,
    clouds: Arc<[(Cloud, Url)]>,
    turns: Arc<Semaphore>,
}

/// Microsoft's clouds, as Intune's `cloud` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cloud {
    Global,
    UsGovernment,
    China,
}

impl Cloud {
    pub const ALL: [Self; 3] = [Self::Global, Self::UsGovernment, Self::China];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::UsGovernment => "us_government",
            Self::China => "china",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.as_str() == text)
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tenant that has verified a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub tenant_id: Uuid,
    /// Where it runs, which need not be the cloud that told.
    pub cloud: Cloud,
    /// `tenant_region_scope`, such as `EU`.
    pub region: Option<String>,
}

/// Why nothing can be said about a domain's tenant.
#[derive(Debug, thiserror::Error)]
pub enum EntraError {
    #[error("Microsoft Entra ({0}) could not be asked: {1}")]
    Away(Cloud, #[source] FetchError),
    #[error("Microsoft Entra ({0}) gave an answer that can't be read")]
    Unreadable(Cloud),
    #[error("too many tenants are being looked up at this moment")]
    Busy,
}

impl Entra {
    /// `urls`: where each cloud answers, as `SIGNPOST_ENTRA_URLS` names them; none: Microsoft's own.
    #[must_use]
    pub fn new(outbound: Outbound, dns: Dns, urls: &[(String, Url)]) -> Self {
        let named = urls
            .iter()
            .filter_map(|(cloud, url)| Some((Cloud::parse(cloud)?, url.clone())));
        let mut clouds: Vec<_> = named.collect();
        if clouds.is_empty() {
            let known = |(cloud, url)| Some((cloud, Url::parse(url).ok()?));
            clouds = MICROSOFTS.into_iter().filter_map(known).collect();
        }
        clouds.sort_by_key(|(cloud, _)| *cloud);
        Self {
            outbound,
            dns,
            clouds: clouds.into(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The tenant of `domain`; `None` if no cloud knows it.
    pub async fn lookup(&self, domain: &Hostname) -> Result<Option<Tenant>, EntraError> {
        let deadline = Instant::now() + PATIENCE;
        let turn = tokio::time::timeout_at(deadline, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(EntraError::Busy);
        };
        let asked = self
            .clouds
            .iter()
            .map(|(cloud, url)| self.ask(*cloud, url, domain, deadline));
        let mut answers: FuturesOrdered<_> = asked.collect();
        let mut failed = None;
        while let Some(answer) = answers.next().await {
            match answer {
                // The global cloud knows tenants of the others too, and where they run: it has the first word.
                Ok(Some(tenant)) => return Ok(Some(tenant)),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn ask(
        &self,
        cloud: Cloud,
        url: &Url,
        domain: &Hostname,
        deadline: Instant,
    ) -> Result<Option<Tenant>, EntraError> {
        let get = Get {
            url: &document_of(url, domain),
            headers: &[(ACCEPT, HeaderValue::from_static("application/json"))],
            max_body: MAX_BODY,
            patience: deadline.saturating_duration_since(Instant::now()),
            roots: &[],
        };
        let fetched = self.outbound.fetch(&self.dns, get).await;
        let fetched = fetched.map_err(|error| EntraError::Away(cloud, error))?;
        match answer::read(cloud, fetched.status, &fetched.body) {
            Told::Known(tenant) => Ok(Some(tenant)),
            Told::Unknown => Ok(None),
            Told::Nothing => Err(EntraError::Unreadable(cloud)),
        }
    }
}

/// Where a cloud publishes what it knows of a domain.
fn document_of(cloud: &Url, domain: &Hostname) -> Url {
    let mut url = cloud.clone();
    // Only a URL like `mailto:` has no segments, and none such is among the settings.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments
            .pop_if_empty()
            .extend([domain.as_str(), "v2.0", ".well-known", "openid-configuration"]);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_stands_below_the_clouds_address() {
        let domain = Hostname::parse("contoso.com").unwrap();
        for (cloud, expected) in [
            (
                "https://login.microsoftonline.com",
                "https://login.microsoftonline.com/contoso.com/v2.0/.well-known/openid-configuration",
            ),
            (
                "http://127.0.0.1:8000/entra/",
                "http://127.0.0.1:8000/entra/contoso.com/v2.0/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(document_of(&cloud.parse().unwrap(), &domain).as_str(), expected);
        }
    }

    #[test]
    fn without_settings_microsofts_clouds_are_asked() {
        let outbound = Outbound::new(vec![], vec![]);
        let dns = Dns::new(&["127.0.0.1:53".parse().unwrap()]).unwrap();
        let clouds = Entra::new(outbound, dns, &[]).clouds;
        assert_eq!(clouds.iter().map(|(cloud, _)| *cloud).collect::<Vec<_>>(), Cloud::ALL);
    }
}
