//! Whom a request is for: its own authority and nothing else, parsed in place.
use std::net::{IpAddr, SocketAddr};

use actix_web::{
    dev::RequestHead,
    http::{
        Version,
        header::{self, HeaderName},
    },
};
use ipnet::IpNet;

use crate::hostname::{Hostname, MAX_LENGTH};

/// What the listener knew when the connection was made.
pub struct Connection {
    pub peer: Option<IpAddr>,
    pub tls: Option<Tls>,
}

/// Of a TLS connection.
pub struct Tls {
    /// The server name that the client asked for, lower case.
    pub server_name: Box<str>,
    pub version: TlsVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

impl TlsVersion {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

/// Room for a host on the stack.
pub struct HostBuffer([u8; MAX_LENGTH]);

impl HostBuffer {
    #[must_use]
    pub fn new() -> Self {
        Self([0; MAX_LENGTH])
    }
}

impl Default for HostBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// The host that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// Lower case, no port, no trailing dot. Not necessarily a [`Hostname`].
    Name(&'a str),
    Address(IpAddr),
}

/// The authority is missing, ambiguous or no authority at all (RFC 9112 §3.2: answer 400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAuthority;

/// The request's own authority and nothing else: the absolute-form target or else the single `Host`
/// (RFC 9112 §3.2.2). Forwarded headers are never read: any client can send them.
pub fn host<'b>(head: &RequestHead, buffer: &'b mut HostBuffer) -> Result<Host<'b>, BadAuthority> {
    let mut fields = head.headers.get_all(header::HOST);
    let field = fields.next();
    if fields.next().is_some() {
        return Err(BadAuthority);
    }
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let text = match (target, field) {
        (Some(target), Some(field)) => {
            // Not obeyed, and yet it must be one (RFC 9112 §3.2).
            parse_host(field.as_bytes(), buffer)?;
            target
        }
        (Some(_), None) if head.version == Version::HTTP_11 => return Err(BadAuthority),
        (Some(target), None) => target,
        (None, Some(field)) => field.as_bytes(),
        (None, None) => return Err(BadAuthority),
    };
    parse_host(text, buffer)
}

/// The peer, or whom a trusted proxy speaks for: the last address in `X-Forwarded-For` that is
/// not itself a trusted proxy.
#[must_use]
pub fn client(head: &RequestHead, connection: &Connection, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = connection.peer?.to_canonical();
    let is_trusted = |address: IpAddr| trusted_proxies.iter().any(|network| network.contains(&address));
    if !is_trusted(peer) {
        return Some(peer);
    }
    // Lines of one name are one list (RFC 9110 §5.3): a proxy may add a line to the sender's.
    let lines = head.headers.get_all(HeaderName::from_static("x-forwarded-for"));
    let items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let client = items.fold(None, |last, item| {
        match str::from_utf8(item)
            .ok()
            .and_then(|item| forwarded_address(item.trim()))
        {
            Some(address) if is_trusted(address) => last,
            // What stands before nonsense is not to be believed either.
            other => other,
        }
    });
    client.or(Some(peer))
}

/// Some gateways add the port.
fn forwarded_address(item: &str) -> Option<IpAddr> {
    item.parse()
        .or_else(|_| item.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
}

/// `name[:port]`, as it stands in an authority.
pub fn parse_host<'b>(text: &[u8], buffer: &'b mut HostBuffer) -> Result<Host<'b>, BadAuthority> {
    if let Some(rest) = text.strip_prefix(b"[") {
        let end = rest.iter().position(|b| *b == b']').ok_or(BadAuthority)?;
        let address = str::from_utf8(&rest[..end])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(BadAuthority)?;
        return port_is_fine(&rest[end + 1..])
            .then_some(Host::Address(address))
            .ok_or(BadAuthority);
    }
    let (name, port) = match text.iter().position(|b| *b == b':') {
        Some(at) => text.split_at(at),
        None => (text, &text[text.len()..]),
    };
    if !port_is_fine(port) {
        return Err(BadAuthority);
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() {
        return Err(BadAuthority);
    }
    if !name.is_ascii() {
        return parse_unicode_host(name, buffer);
    }
    let room = buffer.0.get_mut(..name.len()).ok_or(BadAuthority)?;
    for (to, from) in room.iter_mut().zip(name) {
        match from {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => *to = *from,
            b'A'..=b'Z' => *to = from.to_ascii_lowercase(),
            _ => return Err(BadAuthority),
        }
    }
    let name = str::from_utf8(room).map_err(|_| BadAuthority)?;
    Ok(
        match name.as_bytes()[name.len() - 1]
            .is_ascii_digit()
            .then(|| name.parse().ok())
            .flatten()
        {
            Some(address) => Host::Address(address),
            None => Host::Name(name),
        },
    )
}

/// U-labels in `Host` are rare and not what a device sends: this way allocates.
fn parse_unicode_host<'b>(name: &[u8], buffer: &'b mut HostBuffer) -> Result<Host<'b>, BadAuthority> {
    let hostname = Hostname::parse(str::from_utf8(name).map_err(|_| BadAuthority)?).map_err(|_| BadAuthority)?;
    let room = &mut buffer.0[..hostname.as_str().len()];
    room.copy_from_slice(hostname.as_str().as_bytes());
    str::from_utf8(room).map(Host::Name).map_err(|_| BadAuthority)
}

fn port_is_fine(port: &[u8]) -> bool {
    match port.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => port.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(text: &[u8]) -> Option<String> {
        let mut buffer = HostBuffer::new();
        match parse_host(text, &mut buffer) {
            Ok(Host::Name(name)) => Some(name.to_owned()),
            Ok(Host::Address(address)) => Some(format!("address {address}")),
            Err(BadAuthority) => None,
        }
    }

    #[test]
    fn a_host_loses_case_port_and_trailing_dot() {
        for (input, expected) in [
            ("contoso.com", "contoso.com"),
            ("CONTOSO.com:8443", "contoso.com"),
            ("contoso.com.:443", "contoso.com"),
            ("contoso.com:", "contoso.com"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1:8080", "address 127.0.0.1"),
            ("[::1]:8080", "address ::1"),
        ] {
            assert_eq!(host_of(input.as_bytes()).as_deref(), Some(expected), "{input}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let long = "a".repeat(254);
        for input in [
            "",
            ".",
            ":443",
            "a b.com",
            "ada@contoso.com",
            "contoso.com/x",
            "contoso.com:80:80",
            "contoso.com:x",
            "contoso%2ecom",
            "contoso.com,evil.example",
            "[::1",
            "[x]",
            &long,
        ] {
            assert_eq!(host_of(input.as_bytes()), None, "{input}");
        }
        assert_eq!(host_of(b"contoso\xff.com"), None);
    }

    #[test]
    fn a_forwarded_address_may_have_a_port() {
        for (item, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:49152", Some("203.0.113.7")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("unknown", None),
            ("203.0.113.7:x", None),
        ] {
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(forwarded_address(item), expected, "{item}");
        }
    }
}
