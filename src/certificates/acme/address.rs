//! Addresses that a CA hands out. It decides what we ask next, but not in the clear and not as somebody else.
use url::Url;

use super::CaError;

const LONGEST: usize = 2_048;

/// One to be asked: over TLS, and without a name and password, which would be sent to it.
pub fn parse(text: &str) -> Result<Url, CaError> {
    let url = (text.len() <= LONGEST).then(|| Url::parse(text).ok()).flatten();
    url.filter(is_askable)
        .ok_or_else(|| CaError::malformed(format!("{} is not an address that may be asked", shown(text))))
}

pub fn is_askable(url: &Url) -> bool {
    url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none()
}

/// One to be shown to people as a link: none that runs a script when it is clicked.
pub fn page(text: &str) -> Option<String> {
    let url = (text.len() <= LONGEST).then(|| Url::parse(text).ok()).flatten()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.into())
}

fn shown(text: &str) -> String {
    crate::input::plain(text, 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_asked_and_only_the_web_is_shown() {
        for (text, asked, linked) in [
            ("https://ca.example/order/1", true, true),
            ("https://ca.example:14000/order/1?a=b", true, true),
            ("http://ca.example/order/1", false, true),
            ("https://user:password@ca.example/", false, true),
            ("javascript:alert(1)", false, false),
            ("file:///etc/passwd", false, false),
            ("data:text/html,x", false, false),
            ("/order/1", false, false),
            ("", false, false),
            (&format!("https://ca.example/{}", "x".repeat(LONGEST)), false, false),
        ] {
            assert_eq!(parse(text).is_ok(), asked, "{text}");
            assert_eq!(page(text).is_some(), linked, "{text}");
        }
        let error = parse("http://\u{1b}[2J").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
