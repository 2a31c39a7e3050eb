//! How often strangers of one network may try a password, sign up, or have a mail sent. In memory: each node counts.
//! Neighbours in a network can use its attempts up, so known browsers, sessions and mailed links have some of their own.
use std::num::NonZeroU32;

use actix_web::HttpRequest;
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use ipnet::IpNet;
use prometheus::{IntCounterVec, Opts, Registry};

use super::{Console, browser::Browser, fault::Fault};
use crate::{
    accounts::{Operator, known_browsers, sessions::Origin},
    discovery::{
        hit::Network,
        request::{Connection, client},
    },
};

/// At once; an office signs in behind one address.
const BURST: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const A_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
/// Of one known browser, session or mailed link, when those of its network are used up.
const OWN_A_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

pub struct Attempts {
    networks: DefaultKeyedRateLimiter<String>,
    /// By a digest or an id that was found in the database: strangers can't fill the memory.
    own: DefaultKeyedRateLimiter<Vec<u8>>,
    refused: IntCounterVec,
}

/// Limit that refused an attempt to sign up or in, as the metric names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Attempts of a network per minute.
    Network,
    /// Failed passwords or codes of an account.
    Failures,
    /// Sign-up mails.
    Mails,
}

impl Limit {
    const ALL: [Self; 3] = [Self::Network, Self::Failures, Self::Mails];

    fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Failures => "failures",
            Self::Mails => "mails",
        }
    }
}

impl Attempts {
    /// An error means that the metric is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Attempts to sign up or in that a limit refused, by limit.";
        let refused = IntCounterVec::new(Opts::new("signpost_sign_in_refused_total", help), &["limit"])?;
        registry.register(Box::new(refused.clone()))?;
        for limit in Limit::ALL {
            refused.with_label_values(&[limit.as_str()]);
        }
        Ok(Self {
            networks: DefaultKeyedRateLimiter::keyed(Quota::per_minute(A_MINUTE).allow_burst(BURST)),
            own: DefaultKeyedRateLimiter::keyed(Quota::per_minute(OWN_A_MINUTE)),
            refused,
        })
    }

    pub fn count_refused(&self, limit: Limit) {
        self.refused.with_label_values(&[limit.as_str()]).inc();
    }

    /// Takes one attempt of the network that `origin` names.
    fn take_of_network(&self, origin: &Origin) -> Result<(), Fault> {
        let network = origin.network.clone().unwrap_or_default();
        self.networks.check_key(&network).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Fault::TooMany(wait.as_secs() + 1)
        })
    }

    /// Forgets networks and others that have not tried for a while.
    pub fn shrink(&self) {
        self.networks.retain_recent();
        self.own.retain_recent();
    }
}

/// Takes one attempt of the sender's network, or else one of the known browser's own.
pub async fn take(request: &HttpRequest, console: &Console) -> Result<Origin, Fault> {
    let origin = origin(request, &console.trusted_proxies);
    let Err(refused) = console.attempts.take_of_network(&origin) else {
        return Ok(origin);
    };
    if let Some(cookie) = Browser::known(request) {
        let digest = cookie.digest();
        let mut db = console.pool.acquire().await?;
        let is_known = known_browsers::store::exists(&mut db, Operator::signing_in(), &digest).await?;
        if is_known && console.attempts.own.check_key(&digest).is_ok() {
            return Ok(origin);
        }
    }
    console.attempts.count_refused(Limit::Network);
    Err(refused)
}

/// The same for the holder of `own`: the digest of a mailed link, or the id of a session, which must be in force.
pub fn take_as(request: &HttpRequest, console: &Console, own: &[u8]) -> Result<Origin, Fault> {
    let origin = origin(request, &console.trusted_proxies);
    match console.attempts.take_of_network(&origin) {
        Err(refused) if console.attempts.own.check_key(&own.to_vec()).is_err() => {
            console.attempts.count_refused(Limit::Network);
            Err(refused)
        }
        Ok(()) | Err(_) => Ok(origin),
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
