//! Hosts that a person types: a DNS name with an optional port, in one normal form.

use super::{lookalikes, names};
use std::fmt;

const HTTPS_PORT: u16 = 443;

/// Lower case, at least two labels, no trailing dot; the port only where it is not 443.
#[derive(Debug)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    pub fn parse(text: &str) -> Result<Self, HostError> {
        check_nothing_around(text)?;
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port)?)),
            None => (text, None),
        };
        let name = names::parse_name(name)?;
        match lookalikes::resembled(&name) {
            Some(vendor_domain) => Err(HostError::Lookalike { name, vendor_domain }),
            None => Ok(Self {
                name,
                port: port.filter(|port| *port != HTTPS_PORT),
            }),
        }
    }

    pub fn without_port(self) -> Result<String, HostError> {
        match self.port {
            Some(port) => Err(HostError::PortNotAllowed(port)),
            None => Ok(self.name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The parts of a URL that people paste along with a host, each refused by its own name.
pub fn check_nothing_around(text: &str) -> Result<(), HostError> {
    let refusals = [
        (text.is_empty(), HostError::Empty),
        (
            text.contains(|c: char| c.is_whitespace() || c.is_control()),
            HostError::Whitespace,
        ),
        (!text.is_ascii(), HostError::NotAscii),
        (text.contains("://"), HostError::Scheme),
        (text.contains(['/', '\\', '?', '#']), HostError::Path),
        (text.contains('@'), HostError::UserInfo),
        (
            text.starts_with('[') || text.matches(':').count() > 1,
            HostError::IpAddress,
        ),
    ];
    refusals
        .into_iter()
        .find_map(|(applies, refusal)| applies.then_some(refusal))
        .map_or(Ok(()), Err)
}

fn parse_port(text: &str) -> Result<u16, HostError> {
    // `u16::from_str` would take a leading plus sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| digits && *port != 0)
        .ok_or(HostError::Port)
}

/// Why a host was refused, and what to give instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("The host is empty. Give a host name such as mdm.example.com.")]
    Empty,
    #[error("The host holds white space. Remove it.")]
    Whitespace,
    #[error("The host is not ASCII. Give the A-label (xn--…) form.")]
    NotAscii,
    #[error("This is a URL. Give the host name alone, without https:// and without a path.")]
    Scheme,
    #[error("The host has a path or a query. Give the host name alone, such as mdm.example.com.")]
    Path,
    #[error("The host has a user name before an @. Give the host name alone, such as mdm.example.com.")]
    UserInfo,
    #[error("The host is an IP address or reads as one. Give a host name that a certificate can be issued for.")]
    IpAddress,
    #[error("The port is not a number from 1 to 65535. Correct it, or leave it out with its colon.")]
    Port,
    #[error("No port can be given here. Remove :{0}.")]
    PortNotAllowed(u16),
    #[error("The host is longer than {} bytes. Give the host name alone.", names::MAX_NAME_BYTES)]
    TooLong,
    #[error(
        "The host has a part longer than {} bytes between its dots. Check the spelling.",
        names::MAX_LABEL_BYTES
    )]
    LabelTooLong,
    #[error("The host has nothing between two dots or before the first. Check the spelling.")]
    EmptyLabel,
    #[error("The host has a part that begins or ends with a hyphen. Check the spelling.")]
    Hyphen,
    #[error("The host holds an underscore, which no public host name has. Check the spelling.")]
    Underscore,
    #[error("The host holds {0:?}. Only letters, digits, hyphens and dots can stand in a host name.")]
    Character(char),
    #[error("The host is a single word. Give the full name with its domain, such as mdm.example.com.")]
    SingleLabel,
    #[error("This has a dot. Give the first part of the host name alone, without the domain.")]
    SeveralLabels,
    #[error("The host has a part in xn-- form that stands for no valid name. Check the spelling.")]
    BadALabel,
    #[error(
        "{name} looks like {vendor_domain} but does not belong to it: it would send sign-ins to whoever \
         holds that name. Check the spelling."
    )]
    Lookalike { name: String, vendor_domain: &'static str },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_kept_in_one_normal_form() {
        let cases = [
            ("mdm.contoso.com", "mdm.contoso.com"),
            ("MDM.Contoso.COM.", "mdm.contoso.com"),
            ("mdm.contoso.com:443", "mdm.contoso.com"),
            ("mdm.contoso.com.:08443", "mdm.contoso.com:8443"),
            ("mdm.contoso.com:1", "mdm.contoso.com:1"),
            ("mdm.contoso.com:65535", "mdm.contoso.com:65535"),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            ("1.2.3.contoso.com", "1.2.3.contoso.com"),
            ("r3---sn.contoso.com", "r3---sn.contoso.com"),
        ];
        for (text, normal) in cases {
            assert_eq!(Host::parse(text).unwrap().to_string(), normal);
        }
        let longest = format!("{0}.{0}.{0}.{1}.", "a".repeat(63), "b".repeat(61));
        assert_eq!(Host::parse(&longest).unwrap().to_string().len(), 253);
    }

    #[test]
    fn what_is_no_host_is_refused_by_its_reason() {
        let cases = [
            ("", HostError::Empty),
            (".", HostError::Empty),
            (":8443", HostError::Empty),
            (" mdm.contoso.com", HostError::Whitespace),
            ("mdm.contoso.com\n", HostError::Whitespace),
            ("mdm.\0contoso.com", HostError::Whitespace),
            ("mdm.contoso\u{a0}.com", HostError::Whitespace),
            ("münchen.example", HostError::NotAscii),
            ("mdm。contoso.com", HostError::NotAscii),
            ("jamfcl\u{43e}ud.com", HostError::NotAscii),
            ("https://mdm.contoso.com", HostError::Scheme),
            ("mdm.contoso.com/", HostError::Path),
            ("mdm.contoso.com\\x", HostError::Path),
            ("mdm.contoso.com?x", HostError::Path),
            ("mdm.contoso.com#x", HostError::Path),
            ("user@mdm.contoso.com", HostError::UserInfo),
            ("user:word@mdm.contoso.com", HostError::UserInfo),
            ("192.0.2.1", HostError::IpAddress),
            ("192.0.2.1:8443", HostError::IpAddress),
            ("[2001:db8::1]", HostError::IpAddress),
            ("2001:db8::1", HostError::IpAddress),
            ("0x7f.1", HostError::IpAddress),
            ("mdm.0x7f", HostError::IpAddress),
            ("mdm.contoso.4", HostError::IpAddress),
            ("2130706433", HostError::IpAddress),
            ("mdm.contoso.com:", HostError::Port),
            ("mdm.contoso.com:0", HostError::Port),
            ("mdm.contoso.com:65536", HostError::Port),
            ("mdm.contoso.com:+443", HostError::Port),
            ("mdm.contoso.com:https", HostError::Port),
            ("localhost", HostError::SingleLabel),
            ("mdm..contoso.com", HostError::EmptyLabel),
            (".contoso.com", HostError::EmptyLabel),
            ("contoso.com..", HostError::EmptyLabel),
            ("-mdm.contoso.com", HostError::Hyphen),
            ("mdm-.contoso.com", HostError::Hyphen),
            ("my_mdm.contoso.com", HostError::Underscore),
            ("*.contoso.com", HostError::Character('*')),
            ("%6ddm.contoso.com", HostError::Character('%')),
            ("{host}.contoso.com", HostError::Character('{')),
            ("xn--a.contoso.com", HostError::BadALabel),
        ];
        for (text, reason) in cases {
            assert_eq!(Host::parse(text).unwrap_err(), reason, "{text:?}");
        }
        let long = |label, count| vec!["a".repeat(label); count].join(".");
        assert_eq!(Host::parse(&long(64, 2)).unwrap_err(), HostError::LabelTooLong);
        assert_eq!(Host::parse(&long(49, 6)).unwrap_err(), HostError::TooLong);
    }

    #[test]
    fn a_host_without_a_port_may_be_asked_for() {
        assert_eq!(
            Host::parse("a.example:443").unwrap().without_port().unwrap(),
            "a.example"
        );
        assert_eq!(
            Host::parse("a.example:8443").unwrap().without_port(),
            Err(HostError::PortNotAllowed(8443))
        );
    }
}
