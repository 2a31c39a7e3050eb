//! How often strangers of one network may try a password, sign up, or have a mail sent. In memory: each node counts.
use std::num::NonZeroU32;

use actix_web::HttpRequest;
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use ipnet::IpNet;

use super::fault::Fault;
use crate::{
    accounts::sessions::Origin,
    discovery::{
        hit::Network,
        request::{Connection, client},
    },
};

/// At once; an office signs in behind one address.
const BURST: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const A_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");

pub struct Attempts {
    limiter: DefaultKeyedRateLimiter<String>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            limiter: DefaultKeyedRateLimiter::keyed(Quota::per_minute(A_MINUTE).allow_burst(BURST)),
        }
    }
}

impl Attempts {
    /// Takes one attempt of the network that `origin` names.
    pub fn take(&self, origin: &Origin) -> Result<(), Fault> {
        let network = origin.network.clone().unwrap_or_default();
        self.limiter.check_key(&network).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Fault::TooMany(wait.as_secs() + 1)
        })
    }

    /// Forgets networks that have not tried for a while.
    pub fn shrink(&self) {
        self.limiter.retain_recent();
    }
}

/// Where a request comes from, as far as it is kept.
#[must_use]
pub fn origin(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Origin {
    let connection = request.conn_data::<Connection>();
    let address = connection.and_then(|connection| client(request.head(), connection, trusted_proxies));
    let agent = request.headers().get(actix_web::http::header::USER_AGENT);
    Origin {
        browser: browser(agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default()),
        network: address.map(|address| Network::of(address).to_string()),
    }
}

/// "Firefox on macOS": enough for its owner, and the same for many.
fn browser(agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(mark, _)| agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "An unknown browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_as_its_owner_would() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox on macOS",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "An unknown browser"),
            ("", "An unknown browser"),
        ] {
            assert_eq!(browser(agent), name);
        }
    }
}
