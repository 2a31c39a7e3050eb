//! Our own names, and the addresses made of them.
use std::net::SocketAddr;

use super::Addresses;
use crate::{
    config::{Certificates, Settings},
    domains::RegistrationRules,
    public_scheme::PublicScheme,
};

/// The names that nobody may register.
#[must_use]
pub fn own(settings: &Settings) -> RegistrationRules {
    RegistrationRules {
        portal: settings.portal_host.to_string(),
        edge: settings.edge_host.to_string(),
        unverified_domains: settings.unverified_domains,
    }
}

/// Where people open the portal. In a trial that is the plain listener, because no browser trusts the internal CA. A
/// portal on the internet is reached by https, also where a proxy in front terminates TLS.
#[must_use]
pub fn portal_url(settings: &Settings, addresses: &Addresses) -> String {
    let host = &settings.portal_host;
    let is_https = settings.certificates == Certificates::Acme || PublicScheme::of(host.as_str()).is_https();
    match (is_https, addresses.http.port(), settings.public_https_port) {
        (false, 80, _) => format!("http://{host}"),
        (false, port, _) => format!("http://{host}:{port}"),
        (true, _, 443) => format!("https://{host}"),
        (true, _, port) => format!("https://{host}:{port}"),
    }
}

/// Whoever listens everywhere is reached on loopback.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port())),
        other => other,
    }
}
