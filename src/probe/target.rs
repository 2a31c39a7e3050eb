//! What is asked: an https address in its parts, the query as a device writes it, and where a `Location` leads.
use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::text;

const WELL_KNOWN: &str = "/.well-known/com.apple.remotemanagement";
/// Of a device.
const PARAMETERS: [&str; 2] = ["user-identifier", "model-family"];
const HTTPS_PORT: u16 = 443;
const LONGEST_LOCATION: usize = 8 * 1024;

/// An https address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: Host<String>,
    pub port: u16,
    pub path_and_query: String,
}

/// Where a `Location` leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Onward {
    To(Target),
    /// A downgrade, with its address; and where that is if it has no name.
    PlainHttp(String, Option<SocketAddr>),
    /// Another scheme, with its address.
    Foreign(String),
    Unreadable,
}

impl Target {
    /// What a device asks of its own domain; without a query what a person tries first.
    pub fn device(hostname: &str, port: u16, query: Option<&str>) -> Self {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            host: Host::Domain(hostname.to_owned()),
            port,
            path_and_query: format!("{WELL_KNOWN}{query}"),
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}{}", self.authority(), self.path_and_query)
    }

    /// The address without its query, which is long and names a person.
    pub fn place(&self) -> String {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        text::quoted(&format!("https://{}{path}", self.authority()))
    }

    /// The `Host` of the request.
    pub fn authority(&self) -> String {
        match self.port {
            HTTPS_PORT => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// For certificates and server names: an IPv6 address without its brackets.
    pub fn name(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    pub fn query(&self) -> Option<&str> {
        self.path_and_query.split_once('?').map(|(_, query)| query)
    }

    /// The same, with a device's parameters in place of its own of these names.
    pub fn with_device_query(&self, query: &str) -> Self {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        let is_other =
            |pair: &&str| !pair.is_empty() && !PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
        let own = self.query().unwrap_or_default().split('&').filter(is_other);
        let all: Vec<_> = own.chain([query]).collect();
        Self {
            path_and_query: format!("{path}?{}", all.join("&")),
            ..self.clone()
        }
    }

    /// Where `location` leads from here. A fragment stays with the client.
    pub fn onward(&self, location: &[u8]) -> Onward {
        let location = String::from_utf8_lossy(location);
        let base = Url::parse(&self.url());
        let Some(url) = base
            .ok()
            .filter(|_| location.len() <= LONGEST_LOCATION)
            .and_then(|base| base.join(location.trim()).ok())
        else {
            return Onward::Unreadable;
        };
        let shown = || text::quoted(&without_query(&url));
        match (url.scheme(), url.host()) {
            ("https", Some(host)) => Onward::To(Self {
                host: host.to_owned(),
                port: url.port().unwrap_or(HTTPS_PORT),
                path_and_query: match url.query() {
                    Some(query) => format!("{}?{query}", url.path()),
                    None => url.path().to_owned(),
                },
            }),
            ("http", host) => Onward::PlainHttp(shown(), host.and_then(|host| bare(&host, url.port().unwrap_or(80)))),
            _ => Onward::Foreign(shown()),
        }
    }
}

fn bare(host: &Host<&str>, port: u16) -> Option<SocketAddr> {
    let ip: IpAddr = match host {
        Host::Domain(_) => return None,
        Host::Ipv4(ip) => (*ip).into(),
        Host::Ipv6(ip) => (*ip).into(),
    };
    Some(SocketAddr::new(ip, port))
}

fn without_query(url: &Url) -> String {
    let url = url.as_str();
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}

/// The query as a device writes it: `@` and `+` stand as they are.
pub fn device_query(user: &str, family: &str) -> String {
    format!("user-identifier={}&model-family={}", encode(user), encode(family))
}

fn encode(text: &str) -> String {
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@+".contains(&byte);
    let encode = |byte: u8| match stands(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Whether both of a device's parameters arrive with their values.
pub fn keeps_query(asked: &str, onward: Option<&str>) -> bool {
    let value = |query: &str, name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .map(decode)
    };
    PARAMETERS
        .into_iter()
        .all(|name| value(asked, name) == onward.and_then(|query| value(query, name)))
}

/// Percent-decoded; what is broken stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            decoded.extend(u8::try_from(16 * high + low));
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contoso() -> Target {
        Target::device("contoso.com", 443, Some("user-identifier=a@b&model-family=Mac"))
    }

    #[test]
    fn the_query_is_what_a_device_writes() {
        assert_eq!(
            device_query("first+tag@contoso.com", "iPhone"),
            "user-identifier=first+tag@contoso.com&model-family=iPhone"
        );
        assert_eq!(
            device_query("ü &#%/?\r\n", "x"),
            "user-identifier=%C3%BC%20%26%23%25%2F%3F%0D%0A&model-family=x"
        );
    }

    #[test]
    fn a_location_leads_where_a_browser_would_go_without_adding_the_query() {
        let to = |url: &str| {
            let url = Url::parse(url).unwrap();
            Onward::To(Target {
                host: url.host().unwrap().to_owned(),
                port: url.port().unwrap_or(443),
                path_and_query: url[url::Position::BeforePath..].to_owned(),
            })
        };
        for (location, expected) in [
            ("https://www.contoso.com/x?y=1#z", to("https://www.contoso.com/x?y=1")),
            ("HTTPS://WWW.contoso.com", to("https://www.contoso.com/")),
            ("/x", to("https://contoso.com/x")),
            ("x", to("https://contoso.com/.well-known/x")),
            (
                "?a=b",
                to("https://contoso.com/.well-known/com.apple.remotemanagement?a=b"),
            ),
            ("//www.contoso.com/x", to("https://www.contoso.com/x")),
            ("https://[::1]:8443/", to("https://[::1]:8443/")),
            ("https://2852039166/", to("https://169.254.169.254/")),
            ("https://a:b@evil.example/", to("https://evil.example/")),
            (
                "http://contoso.com/x?y",
                Onward::PlainHttp("http://contoso.com/x".to_owned(), None),
            ),
            (
                "http://169.254.169.254/latest",
                Onward::PlainHttp(
                    "http://169.254.169.254/latest".to_owned(),
                    Some("169.254.169.254:80".parse().unwrap()),
                ),
            ),
            ("javascript:alert(1)", Onward::Foreign("javascript:alert(1)".to_owned())),
            ("https://", Onward::Unreadable),
            ("https://a b/", Onward::Unreadable),
            (&format!("/{}", "a".repeat(9000)), Onward::Unreadable),
        ] {
            assert_eq!(contoso().onward(location.as_bytes()), expected, "{location}");
        }
    }

    #[test]
    fn an_address_is_written_with_its_port_only_where_that_is_not_443() {
        assert_eq!(contoso().authority(), "contoso.com");
        assert_eq!(
            contoso().place(),
            "https://contoso.com/.well-known/com.apple.remotemanagement"
        );
        let Onward::To(target) = contoso().onward(b"https://[2001:db8::1]:8443/x?y") else {
            panic!("that is an address")
        };
        assert_eq!(target.url(), "https://[2001:db8::1]:8443/x?y");
        assert_eq!(target.name(), "2001:db8::1");
    }

    #[test]
    fn a_query_is_kept_when_both_parameters_arrive_with_their_values() {
        let asked = "user-identifier=first+tag@contoso.com&model-family=Mac";
        for (onward, kept) in [
            (Some(asked), true),
            (
                Some("x=1&model-family=Mac&user-identifier=first%2Btag%40contoso.com"),
                true,
            ),
            (Some("user-identifier=first%20tag@contoso.com&model-family=Mac"), false),
            (Some("user-identifier=first+tag@contoso.com"), false),
            (Some("user-identifier=&model-family=Mac"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(keeps_query(asked, onward), kept, "{onward:?}");
        }
    }

    #[test]
    fn a_target_takes_the_query_of_a_device_beside_its_own() {
        let query = "user-identifier=a@b&model-family=Mac";
        for (own, with) in [
            ("/x", "/x?user-identifier=a@b&model-family=Mac"),
            ("/x?", "/x?user-identifier=a@b&model-family=Mac"),
            ("/x?y=1", "/x?y=1&user-identifier=a@b&model-family=Mac"),
            ("/x?user-identifier=&y", "/x?y&user-identifier=a@b&model-family=Mac"),
        ] {
            let target = Target {
                path_and_query: own.to_owned(),
                ..Target::device("contoso.com", 443, None)
            };
            assert_eq!(target.with_device_query(query).path_and_query, with);
        }
    }
}
