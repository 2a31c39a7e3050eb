//! DNS names and labels as RFC 1123 allows them for hosts, and as URL parsers read them.

use super::hosts::{self, HostError};

pub const MAX_NAME_BYTES: usize = 253;
pub const MAX_LABEL_BYTES: usize = 63;

/// Two labels or more, lower case, no trailing dot.
pub fn parse_name(text: &str) -> Result<String, HostError> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let last_label = name.rsplit_once('.').map_or(name.as_str(), |(_, last)| last);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if is_number(last_label) {
        return Err(HostError::IpAddress);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(HostError::TooLong);
    }
    name.split('.').try_for_each(check_label)?;
    if !name.contains('.') {
        return Err(HostError::SingleLabel);
    }
    check_a_labels(&name)?;
    Ok(name)
}

/// One DNS label, lower case.
pub fn parse_label(text: &str) -> Result<String, HostError> {
    hosts::check_nothing_around(text)?;
    if text.contains('.') {
        return Err(HostError::SeveralLabels);
    }
    let label = text.to_ascii_lowercase();
    check_label(&label)?;
    check_a_labels(&label)?;
    Ok(label)
}

/// A name that ends so is an IPv4 address to a URL parser (WHATWG URL, “ends in a number”).
fn is_number(label: &str) -> bool {
    let all = |text: &str, is_digit: fn(&u8) -> bool| text.as_bytes().iter().all(is_digit);
    match label.strip_prefix("0x") {
        Some(digits) => all(digits, u8::is_ascii_hexdigit),
        None => !label.is_empty() && all(label, u8::is_ascii_digit),
    }
}

fn check_label(label: &str) -> Result<(), HostError> {
    let foreign = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-');
    match foreign {
        _ if label.is_empty() => Err(HostError::EmptyLabel),
        Some('_') => Err(HostError::Underscore),
        Some(character) => Err(HostError::Character(character)),
        None if label.starts_with('-') || label.ends_with('-') => Err(HostError::Hyphen),
        None if label.len() > MAX_LABEL_BYTES => Err(HostError::LabelTooLong),
        None => Ok(()),
    }
}

/// What a browser would not take, or would write differently, is no name to send a device to.
fn check_a_labels(name: &str) -> Result<(), HostError> {
    match url::Host::parse(name) {
        Ok(url::Host::Domain(read)) if read == name => Ok(()),
        _ if name.contains("xn--") => Err(HostError::BadALabel),
        // A label of digits only is fine beside others, but alone it reads as an address.
        _ if !name.contains('.') => Ok(()),
        _ => Err(HostError::IpAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_one_label() {
        assert_eq!(parse_label("BIZ-40460").unwrap(), "biz-40460");
        assert_eq!(parse_label("40460").unwrap(), "40460");
        let cases = [
            ("", HostError::Empty),
            ("biz.business", HostError::SeveralLabels),
            ("biz/", HostError::Path),
            ("biz@evil", HostError::UserInfo),
            ("biz 1", HostError::Whitespace),
            ("-biz", HostError::Hyphen),
            ("biz_1", HostError::Underscore),
            ("biz:1", HostError::Character(':')),
            ("xn--a", HostError::BadALabel),
        ];
        for (text, reason) in cases {
            assert_eq!(parse_label(text).unwrap_err(), reason, "{text:?}");
        }
        assert_eq!(parse_label(&"a".repeat(64)).unwrap_err(), HostError::LabelTooLong);
    }
}
