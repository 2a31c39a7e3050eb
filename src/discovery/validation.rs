//! With certificates from a CA: what its validation is answered over HTTP, and where everybody else is sent who speaks
//! in the clear. Such a request is nobody's sign-in: no row, no limit, no line.
use actix_web::{
    HttpResponse,
    dev::RequestHead,
    http::{
        Method,
        header::{self, HeaderValue},
    },
};
use bytes::Bytes;

use super::{
    handler::{method_not_allowed, not_found, push_encoded},
    request::Host,
};

/// RFC 8555 §8.3.
const CHALLENGE: &str = "/.well-known/acme-challenge/";
const MAX_TOKEN: usize = 256;

/// What is answered for a host and a token, if anything.
pub type Answers = dyn Fn(&str, &str) -> Option<Bytes> + Send + Sync;

pub struct Validation {
    pub answers: Box<Answers>,
    pub public_https_port: u16,
}

impl Validation {
    /// The answer, unless it is for others to give: a CA's question on any connection, everything on a plain one.
    pub fn answer(&self, head: &RequestHead, host: Host<'_>, is_plain: bool) -> Option<HttpResponse> {
        match (host, head.uri.path().strip_prefix(CHALLENGE)) {
            (Host::Name(name), Some(token)) => Some(self.challenge(head, name, token)),
            (Host::Name(name), None) if is_plain => Some(self.to_https(head, name)),
            (Host::Address(_), _) if is_plain => Some(not_found()),
            _ => None,
        }
    }

    fn challenge(&self, head: &RequestHead, host: &str, token: &str) -> HttpResponse {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return method_not_allowed();
        }
        match is_token(token).then(|| (self.answers)(host, token)).flatten() {
            Some(answer) => HttpResponse::Ok()
                .insert_header((
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/octet-stream"),
                ))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
                .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
                .body(answer),
            None => not_found(),
        }
    }

    fn to_https(&self, head: &RequestHead, host: &str) -> HttpResponse {
        if host.split('.').any(str::is_empty) {
            return HttpResponse::BadRequest().finish();
        }
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        HttpResponse::PermanentRedirect()
            .insert_header((header::LOCATION, https(host, self.public_https_port, target)))
            .finish()
    }
}

/// `host` is a name, so that nothing in it needs encoding.
fn https(host: &str, port: u16, target: &str) -> String {
    let mut url = format!("https://{host}");
    if port != 443 {
        url = format!("{url}:{port}");
    }
    // A target that is no path (`*`) would become a part of the host.
    push_encoded(&mut url, if target.starts_with('/') { target } else { "/" });
    url
}

/// base64url, as every token is (RFC 8555 §8).
fn is_token(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_is_sent_to_the_same_place_over_https_and_nowhere_else() {
        for (port, target, expected) in [
            (443, "/", "https://contoso.com/"),
            (443, "/a%2Fb/?q=1&r=%0d%0a", "https://contoso.com/a%2Fb/?q=1&r=%0d%0a"),
            (8443, "/x", "https://contoso.com:8443/x"),
            (443, "//evil.example/x", "https://contoso.com//evil.example/x"),
            (443, "*", "https://contoso.com/"),
            (443, "", "https://contoso.com/"),
            (443, "?q", "https://contoso.com/"),
            (443, "/é\"<\\", "https://contoso.com/%C3%A9%22%3C%5C"),
        ] {
            assert_eq!(https("contoso.com", port, target), expected, "{target}");
        }
    }

    #[test]
    fn a_token_is_base64url_and_not_endless() {
        let (long, endless) = ("a".repeat(256), "a".repeat(257));
        for (text, expected) in [
            ("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", true),
            ("_", true),
            (&*long, true),
            ("", false),
            ("a/b", false),
            ("a.b", false),
            ("a=", false),
            ("a%2Db", false),
            ("ä", false),
            (&*endless, false),
        ] {
            assert_eq!(is_token(text), expected, "{text}");
        }
    }
}
