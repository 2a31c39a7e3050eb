//! The name of an OpenID provider. It is compared to the letter, and it says where the provider is found.
use std::net::IpAddr;

use url::{Host, Url};

use crate::input::WebUrl;

/// More than any provider has.
const MAX: usize = 500;
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Microsoft Entra, in every cloud; the last two sign the older tokens.
const ENTRA: [&str; 5] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "sts.windows.net",
    "sts.chinacloudapi.cn",
];
/// Endpoints of every tenant at once, and the tenant of all personal accounts: whoever has any account would be let in.
const EVERYBODYS: [&str; 4] = [
    "common",
    "organizations",
    "consumers",
    "9188040d-6c67-4c5b-b112-36a304b66dad",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Plain http is for loopback, in trials; whether that is asked at all is for `outbound` to say.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "must be an https address, for example https://accounts.google.com";
        let text = text.trim();
        if text.len() > MAX {
            return Err("must have at most 500 characters");
        }
        WebUrl::parse(text).map_err(|_| EXPECTED)?;
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        if !is_secure(&url) {
            return Err(EXPECTED);
        }
        if text.contains(['?', '#']) {
            return Err("must not hold a `?` or a `#`");
        }
        if text.contains("/.well-known/") {
            return Err("is the part before /.well-known/openid-configuration: leave that out");
        }
        let issuer = Self(text.to_owned());
        if issuer.is_entra() && EVERYBODYS.contains(&first_segment(&url).as_str()) {
            return Err(
                "is that of every Microsoft tenant: use your own tenant's, https://login.microsoftonline.com/<your tenant ID>/v2.0",
            );
        }
        Ok(issuer)
    }

    /// One that was parsed when it was stored.
    pub(super) fn stored(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an address that it names has to be believed by Entra's rule: there `email` is what an administrator of
    /// any tenant has written.
    #[must_use]
    pub fn is_entra(&self) -> bool {
        let url = Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        ENTRA.contains(&host.trim_end_matches('.'))
    }

    /// Where it describes itself (OpenID Connect Discovery 1.0 §4).
    #[must_use]
    pub fn configuration(&self) -> String {
        format!("{}{WELL_KNOWN}", self.0.trim_end_matches('/'))
    }
}

fn first_segment(url: &Url) -> String {
    let mut segments = url.path_segments().into_iter().flatten();
    let first = segments.find(|segment| !segment.is_empty());
    first.unwrap_or_default().to_ascii_lowercase()
}

fn is_secure(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_https_address_of_one_tenant() {
        for text in [
            "https://accounts.google.com",
            " https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0 ",
            "https://acme.okta.example/oauth2/default",
            "https://id.example:8443/realms/acme/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/realm",
            "https://login.example/common",
        ] {
            assert_eq!(Issuer::parse(text).map(|issuer| issuer.0), Ok(text.trim().to_owned()));
        }
        let long = format!("https://id.example/{}", "a".repeat(500));
        for text in [
            "",
            "accounts.google.com",
            "http://accounts.google.com",
            "http://localhost:8080",
            "http://10.0.0.1",
            "javascript://127.0.0.1/%0aalert(1)",
            "https://ada:secret@id.example",
            "https://id.example?a=b",
            "https://id.example#a",
            "https://id.example/\"onload=",
            "https://id.example/.well-known/openid-configuration",
            "https://login.microsoftonline.com/common/v2.0",
            "https://login.microsoftonline.com./common/v2.0",
            "https://LOGIN.microsoftonline.com//Organizations/v2.0",
            "https://login.microsoftonline.us/consumers/v2.0",
            "https://login.microsoftonline.com/9188040D-6C67-4C5B-B112-36A304B66DAD/v2.0",
            &long,
        ] {
            assert!(Issuer::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn entra_is_known_in_every_cloud_and_nobody_else_is_taken_for_it() {
        for (text, is_entra) in [
            ("https://login.microsoftonline.com/t/v2.0", true),
            ("https://LOGIN.microsoftonline.US/t/v2.0", true),
            ("https://login.partner.microsoftonline.cn/t/v2.0", true),
            ("https://sts.windows.net/t/", true),
            ("https://accounts.google.com", false),
            ("https://login.microsoftonline.com.evil.example/t", false),
        ] {
            let issuer = Issuer::parse(text);
            assert_eq!(issuer.map(|issuer| issuer.is_entra()), Ok(is_entra), "{text}");
        }
    }

    #[test]
    fn a_slash_at_the_end_is_no_second_one() {
        for text in ["https://id.example/a", "https://id.example/a/"] {
            let at = Issuer::parse(text).map(|issuer| issuer.configuration());
            assert_eq!(
                at.as_deref(),
                Ok("https://id.example/a/.well-known/openid-configuration")
            );
        }
    }
}
