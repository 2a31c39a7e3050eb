//! How the world reaches the portal: by https unless its host is one that only a trial or an internal network has.
//! Cookies, HSTS and links follow this, and not the last hop, which may be plain HTTP behind a proxy.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names that are never on the internet (RFC 6761, RFC 9476, and what routers use).
const INTERNAL_SUFFIXES: [&str; 4] = [".localhost", ".test", ".internal", ".lan"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicScheme {
    Http,
    Https,
}

impl PublicScheme {
    /// `host`: the portal's, a name or an address, without a port.
    #[must_use]
    pub fn of(host: &str) -> Self {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_internal_name = host == "localhost" || INTERNAL_SUFFIXES.iter().any(|suffix| host.ends_with(suffix));
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match is_internal_name || address.is_ok_and(|address| !is_global(address)) {
            true => Self::Http,
            false => Self::Https,
        }
    }

    #[must_use]
    pub fn is_https(self) -> bool {
        self == Self::Https
    }
}

fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast();
    a != 0 && a < 240 && !is_shared && !is_special
}

/// All that is given out for hosts so far (RFC 4291 §2.4), without documentation.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (0x2000..0x4000).contains(&a) && (a, b) != (0x2001, 0xdb8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_trials_and_internal_networks_are_reached_by_http() {
        for (host, is_https) in [
            ("localhost", false),
            ("LOCALHOST", false),
            ("portal.localhost", false),
            ("portal.signpost.test", false),
            ("signpost.internal", false),
            ("signpost.lan", false),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("192.168.1.5", false),
            ("100.64.0.1", false),
            ("169.254.1.1", false),
            ("::1", false),
            ("[fd00::1]", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
            ("portal.contoso.com", true),
            ("signpost", true),
            ("signpost.local", true),
            ("test", true),
            ("mytest.com", true),
            ("latest", true),
            ("portal.test.com", true),
            ("93.184.216.34", true),
            ("2606:2800:220:1::1", true),
        ] {
            assert_eq!(PublicScheme::of(host).is_https(), is_https, "{host}");
        }
    }
}
