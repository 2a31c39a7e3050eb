//! A hostname that may be registered, parsed once: A-labels, lower case, no trailing dot.
//!
//! Parsing refuses what nobody may claim (addresses, single labels, public suffixes). It asks
//! nobody: that a name is ours, or taken, is for `domains` to know.
use std::{borrow::Borrow, fmt, net::IpAddr, sync::Arc};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The longest name in text form, without the trailing dot (RFC 1035 §2.3.4).
pub const MAX_LENGTH: usize = 253;

/// A fully qualified hostname of at least two labels, for example `contoso.com`.
///
/// Cloning copies a pointer: the directory, the certificates and the publisher share one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// Parses what a person typed: any case, Unicode or A-labels, with or without a trailing dot.
    pub fn parse(input: &str) -> Result<Self, HostnameError> {
        let name = any(input)?;
        if !name.contains('.') {
            return Err(HostnameError::SingleLabel);
        }
        if psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == name.as_bytes()) {
            return Err(HostnameError::PublicSuffix);
        }
        Ok(Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `other` or a name below it.
    #[must_use]
    pub fn is_within(&self, other: &str) -> bool {
        self.0
            .strip_suffix(other)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Parses any hostname, also one that nobody may register: A-labels, lower case, no trailing dot.
pub fn any(input: &str) -> Result<String, HostnameError> {
    let name = input.strip_suffix('.').unwrap_or(input);
    if name.is_empty() {
        return Err(HostnameError::Empty);
    }
    if is_ip_address(name) {
        return Err(HostnameError::IpAddress);
    }
    if name.contains('*') {
        return Err(HostnameError::Wildcard);
    }
    if name.contains('_') {
        return Err(HostnameError::Underscore);
    }
    if let Some(found) = name
        .chars()
        .find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.'))
    {
        return Err(HostnameError::Character(found));
    }
    let ascii = Uts46::new()
        .to_ascii(
            name.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .map_err(|_| HostnameError::NotIdna)?;
    check_length(&ascii)?;
    // Unicode dots and digits become ASCII ones only here: look again.
    if is_ip_address(&ascii) {
        return Err(HostnameError::IpAddress);
    }
    Ok(ascii.into_owned())
}

fn check_length(name: &str) -> Result<(), HostnameError> {
    if name.len() > MAX_LENGTH {
        return Err(HostnameError::TooLong);
    }
    if name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(HostnameError::LabelLength);
    }
    Ok(())
}

/// Dotted or not: `127.0.0.1`, `2130706433`, `0x7f.1` are all addresses to a resolver
/// (WHATWG URL, "ends in a number"), and so is anything in brackets.
fn is_ip_address(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    bare.parse::<IpAddr>().is_ok()
        || last.bytes().all(|b| b.is_ascii_digit()) && !last.is_empty()
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no hostname that may be registered. Each says what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    #[error("a hostname is needed, for example contoso.com")]
    Empty,
    #[error("a hostname may have at most 253 characters (in its xn-- form)")]
    TooLong,
    #[error("each part between dots must have 1 to 63 characters")]
    LabelLength,
    #[error("an IP address is not a hostname: give the domain that people sign in with")]
    IpAddress,
    #[error("a single word is not a full hostname: give it with its domain, for example contoso.com")]
    SingleLabel,
    #[error("this is a public suffix, under which others register their names: give a name below it")]
    PublicSuffix,
    #[error("wildcards can't be registered: give each hostname that people sign in with")]
    Wildcard,
    #[error("a hostname has no underscore: give the domain that people sign in with")]
    Underscore,
    #[error("`{0}` can't be part of a hostname: give the name alone, without scheme, port or path")]
    Character(char),
    #[error("this is not a valid internationalised hostname (UTS 46)")]
    NotIdna,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_form() {
        for (input, expected) in [
            ("contoso.com", "contoso.com"),
            ("Contoso.COM.", "contoso.com"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("bücher。example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("a.b.contoso.co.uk", "a.b.contoso.co.uk"),
            ("r3---sn.example.com", "r3---sn.example.com"),
        ] {
            assert_eq!(
                Hostname::parse(input).map(|h| h.to_string()),
                Ok(expected.to_owned()),
                "{input}"
            );
        }
    }

    #[test]
    fn what_nobody_may_claim_is_refused_with_its_reason() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{}.com", ["a".repeat(63).as_str(); 4].join("."));
        for (input, expected) in [
            ("", HostnameError::Empty),
            (".", HostnameError::Empty),
            ("localhost", HostnameError::SingleLabel),
            ("com", HostnameError::SingleLabel),
            ("co.uk", HostnameError::PublicSuffix),
            ("github.io", HostnameError::PublicSuffix),
            ("127.0.0.1", HostnameError::IpAddress),
            ("１２７.0.0.1", HostnameError::IpAddress),
            ("::1", HostnameError::IpAddress),
            ("[2001:db8::1]", HostnameError::IpAddress),
            ("a.0x7f", HostnameError::IpAddress),
            ("2130706433", HostnameError::IpAddress),
            ("*.contoso.com", HostnameError::Wildcard),
            ("_dmarc.contoso.com", HostnameError::Underscore),
            ("contoso.com:443", HostnameError::Character(':')),
            ("https://contoso.com", HostnameError::Character(':')),
            ("ada@contoso.com", HostnameError::Character('@')),
            ("contoso .com", HostnameError::Character(' ')),
            ("contoso%2ecom", HostnameError::Character('%')),
            ("con\0toso.com", HostnameError::Character('\0')),
            ("contoso..com", HostnameError::LabelLength),
            (".contoso.com", HostnameError::LabelLength),
            ("contoso.com..", HostnameError::LabelLength),
            (&long_label, HostnameError::LabelLength),
            (&long_name, HostnameError::TooLong),
            ("-contoso.com", HostnameError::NotIdna),
            ("xn--zz--.com", HostnameError::NotIdna),
            ("contoso\u{202e}.com", HostnameError::NotIdna),
        ] {
            assert_eq!(Hostname::parse(input), Err(expected), "{input}");
        }
    }

    #[test]
    fn a_name_that_nobody_may_register_is_a_hostname_still() {
        for (input, expected) in [
            ("LOCALHOST", Ok("localhost")),
            ("co.uk.", Ok("co.uk")),
            ("Bücher.example", Ok("xn--bcher-kva.example")),
            ("127.1", Err(HostnameError::IpAddress)),
            ("a_b.example", Err(HostnameError::Underscore)),
            ("a..b", Err(HostnameError::LabelLength)),
        ] {
            assert_eq!(any(input).as_deref(), expected.as_ref().copied(), "{input}");
        }
    }

    #[test]
    fn a_name_is_within_itself_and_its_parents_only() {
        let name = Hostname::parse("a.edge.example.com").expect("a hostname");
        assert!(name.is_within("a.edge.example.com") && name.is_within("edge.example.com"));
        assert!(!name.is_within("ge.example.com") && !name.is_within("b.a.edge.example.com"));
    }
}
