//! Enrollment URLs that a person types or pastes. The scheme and the host are brought into normal form; what
//! follows is the MDM's own and is kept byte for byte, or refused.

use super::hosts::{Host, HostError};
use super::{MODEL_FAMILY_PLACEHOLDER, escapes};
use url::Url;

const MAX_BYTES: usize = 2048;
const SCHEME: &str = "https://";

/// An absolute `https` URL that every reader reads alike.
#[derive(Debug)]
pub struct BaseUrl(String);

impl BaseUrl {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.contains(MODEL_FAMILY_PLACEHOLDER) {
            return Err(UrlError::Reserved);
        }
        let url = with_normal_host(text)?;
        let after_scheme = url.strip_prefix(SCHEME).unwrap_or(&url);
        check_characters(after_scheme)?;
        check_path(&url)?;
        Ok(Self(url))
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// `text` with its scheme and host in normal form; the rest is not looked at.
pub fn with_normal_host(text: &str) -> Result<String, UrlError> {
    if text.len() > MAX_BYTES {
        return Err(UrlError::TooLong);
    }
    let after_scheme = match text.split_at_checked(SCHEME.len()) {
        _ if text.is_empty() => return Err(UrlError::Empty),
        Some((scheme, after)) if scheme.eq_ignore_ascii_case(SCHEME) => after,
        _ if text.contains("://") => return Err(UrlError::NotHttps),
        _ => return Err(UrlError::NotAbsolute),
    };
    let (host, rest) = after_scheme.split_at(after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len()));
    let slash = if rest.starts_with('/') { "" } else { "/" };
    Ok(format!("{SCHEME}{}{slash}{rest}", Host::parse(host)?))
}

fn check_characters(text: &str) -> Result<(), UrlError> {
    let foreign = |c: &char| *c != '%' && !u8::try_from(*c).is_ok_and(escapes::is_url_character);
    match text.chars().find(foreign) {
        Some('#') => Err(UrlError::Fragment),
        Some(character) => Err(UrlError::Character(character)),
        None if escapes::has_broken_escape(text) => Err(UrlError::Escape),
        None => Ok(()),
    }
}

/// A path with dot segments is another path after parsing, so two readers could go to two places.
fn check_path(url: &str) -> Result<(), UrlError> {
    let parsed = Url::parse(url).map_err(UrlError::Unreadable)?;
    let before_query = url.split_once('?').map_or(url, |(before, _)| before);
    if before_query.splitn(4, '/').nth(3) == parsed.path().strip_prefix('/') {
        Ok(())
    } else {
        Err(UrlError::DotSegments)
    }
}

/// Why an enrollment URL was refused, and what to give instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("The URL is empty. Give the enrollment URL that the MDM's console shows.")]
    Empty,
    #[error("The URL is longer than {MAX_BYTES} bytes. Give the enrollment URL alone.")]
    TooLong,
    #[error("The URL is not absolute. Give all of it, beginning with https://.")]
    NotAbsolute,
    #[error("The URL does not begin with https://, and devices accept nothing else. Give its https form.")]
    NotHttps,
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("The URL has a fragment, which is never sent to a server. Remove the # and what follows it.")]
    Fragment,
    #[error(
        "The URL holds {0:?}, which cannot stand in a URL. If it is part of a placeholder, put your own value \
         there; if not, percent-encode it."
    )]
    Character(char),
    #[error("The URL has a % without two hexadecimal digits after it. Write a lone % as %25.")]
    Escape,
    #[error("The path has a . or .. between slashes. Give the path that it leads to.")]
    DotSegments,
    #[error("{MODEL_FAMILY_PLACEHOLDER} is reserved for templates. Give the URL for one model family, or without it.")]
    Reserved,
    #[error("The URL cannot be read: {0}. Check the spelling.")]
    Unreadable(url::ParseError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scheme_and_the_host_are_changed() {
        let cases = [
            ("https://mdm.contoso.com/enroll", "https://mdm.contoso.com/enroll"),
            (
                "HTTPS://MDM.Contoso.com.:443/Enroll?A=b&a=B",
                "https://mdm.contoso.com/Enroll?A=b&a=B",
            ),
            (
                "https://mdm.contoso.com:8443/a//b/",
                "https://mdm.contoso.com:8443/a//b/",
            ),
            ("https://mdm.contoso.com", "https://mdm.contoso.com/"),
            ("https://mdm.contoso.com?x=1", "https://mdm.contoso.com/?x=1"),
            (
                "https://mdm.contoso.com/?q=a+b%20c%2f'd'&&=?/:@;",
                "https://mdm.contoso.com/?q=a+b%20c%2f'd'&&=?/:@;",
            ),
            (
                "https://mdm.contoso.com/a.b/..c/~x;y=(1)",
                "https://mdm.contoso.com/a.b/..c/~x;y=(1)",
            ),
            ("https://mdm.contoso.com/?q=/../x", "https://mdm.contoso.com/?q=/../x"),
        ];
        for (text, url) in cases {
            assert_eq!(BaseUrl::parse(text).unwrap().into_string(), url);
        }
    }

    #[test]
    fn what_devices_or_readers_would_stumble_over_is_refused_by_its_reason() {
        let cases = [
            ("", UrlError::Empty),
            ("mdm.contoso.com/enroll", UrlError::NotAbsolute),
            ("/enroll", UrlError::NotAbsolute),
            ("https:/mdm.contoso.com", UrlError::NotAbsolute),
            ("https:mdm.contoso.com", UrlError::NotAbsolute),
            ("javascript:alert(1)", UrlError::NotAbsolute),
            ("http://mdm.contoso.com/", UrlError::NotHttps),
            ("ftp://mdm.contoso.com/", UrlError::NotHttps),
            (" https://mdm.contoso.com/", UrlError::NotHttps),
            ("éééé", UrlError::NotAbsolute),
            ("https://", UrlError::Host(HostError::Empty)),
            ("https:///mdm.contoso.com", UrlError::Host(HostError::Empty)),
            ("https://user@mdm.contoso.com/", UrlError::Host(HostError::UserInfo)),
            (
                "https://manage.microsoft.com\\@evil.example/",
                UrlError::Host(HostError::Path),
            ),
            ("https://192.0.2.1/", UrlError::Host(HostError::IpAddress)),
            ("https://[::1]/", UrlError::Host(HostError::IpAddress)),
            ("https://localhost/", UrlError::Host(HostError::SingleLabel)),
            ("https://mdm.contoso.com:/", UrlError::Host(HostError::Port)),
            ("https://mdm.contoso.com/#top", UrlError::Fragment),
            ("https://mdm.contoso.com/a b", UrlError::Character(' ')),
            ("https://mdm.contoso.com/a\nb", UrlError::Character('\n')),
            ("https://mdm.contoso.com/\\x", UrlError::Character('\\')),
            ("https://mdm.contoso.com/<tenant>", UrlError::Character('<')),
            ("https://mdm.contoso.com/{tenant}", UrlError::Character('{')),
            ("https://mdm.contoso.com/?a[]=1", UrlError::Character('[')),
            ("https://mdm.contoso.com/ü", UrlError::Character('ü')),
            ("https://mdm.contoso.com/\"", UrlError::Character('"')),
            ("https://mdm.contoso.com/%", UrlError::Escape),
            ("https://mdm.contoso.com/%2", UrlError::Escape),
            ("https://mdm.contoso.com/%zz", UrlError::Escape),
            ("https://mdm.contoso.com/%%41", UrlError::Escape),
            ("https://mdm.contoso.com/a/../b", UrlError::DotSegments),
            ("https://mdm.contoso.com/./b", UrlError::DotSegments),
            ("https://mdm.contoso.com/a/%2e%2E/b", UrlError::DotSegments),
            ("https://mdm.contoso.com/..", UrlError::DotSegments),
            ("https://mdm.contoso.com/?f={model_family}", UrlError::Reserved),
        ];
        for (text, reason) in cases {
            assert_eq!(BaseUrl::parse(text).unwrap_err(), reason, "{text:?}");
        }
        let lookalike = BaseUrl::parse("https://x.jamfcloud.com.com/enroll").unwrap_err();
        assert!(matches!(lookalike, UrlError::Host(HostError::Lookalike { .. })));
        let long = format!("https://mdm.contoso.com/{}", "a".repeat(2048));
        assert_eq!(BaseUrl::parse(&long).unwrap_err(), UrlError::TooLong);
        assert!(BaseUrl::parse(&long[..2048]).is_ok());
    }
}
