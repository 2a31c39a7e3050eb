//! The answers that stand on this node. Readers take no lock; what has expired is not answered, removed or not. Expiry
//! is kept as an [`Instant`]: a node answers whatever its clock says.
use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use papaya::{Equivalent, HashMap};
use rustls::sign::CertifiedKey;

/// Shared by the listeners, which read, and one [`Watcher`](super::watch::Watcher), which writes.
#[derive(Default)]
pub struct Challenges {
    http: HashMap<Place, Until<Bytes>>,
    /// By hostname: a validation by TLS does not say which token it is about.
    tls: HashMap<Box<str>, Until<TlsAnswer>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Place {
    hostname: Box<str>,
    token: Box<str>,
}

/// A [`Place`] to look up, hashed alike.
#[derive(Hash)]
struct At<'a> {
    hostname: &'a str,
    token: &'a str,
}

impl Equivalent<Place> for At<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        *place.hostname == *self.hostname && *place.token == *self.token
    }
}

struct Until<T> {
    answer: T,
    expires_at: Instant,
}

struct TlsAnswer {
    token: Box<str>,
    key: Arc<CertifiedKey>,
}

/// What one challenge is answered.
pub(super) enum Answer {
    Http(Bytes),
    Tls(Arc<CertifiedKey>),
}

impl Challenges {
    /// The key authorization, if this node is to answer for `token` at `host` (lower case, no port).
    #[must_use]
    pub fn http_01(&self, host: &str, token: &str) -> Option<Bytes> {
        let at = At { hostname: host, token };
        let http = self.http.pin();
        let stands = http.get(&at)?;
        (stands.expires_at > Instant::now()).then(|| stands.answer.clone())
    }

    /// The certificate that a validation of `server_name` (lower case) is shown.
    #[must_use]
    pub fn tls_alpn_01(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let tls = self.tls.pin();
        let stands = tls.get(server_name)?;
        (stands.expires_at > Instant::now()).then(|| stands.answer.key.clone())
    }

    pub(super) fn put(&self, hostname: &str, token: &str, answer: Answer, expires_at: Instant) {
        match answer {
            Answer::Http(answer) => {
                let place = Place {
                    hostname: hostname.into(),
                    token: token.into(),
                };
                self.http.pin().insert(place, Until { answer, expires_at });
            }
            Answer::Tls(key) => {
                let answer = TlsAnswer {
                    token: token.into(),
                    key,
                };
                self.tls.pin().insert(hostname.into(), Until { answer, expires_at });
            }
        }
    }

    pub(super) fn remove(&self, hostname: &str, token: &str) {
        self.http.pin().remove(&At { hostname, token });
        let tls = self.tls.pin();
        // Another token of the name may have taken its place.
        if tls.get(hostname).is_some_and(|stands| *stands.answer.token == *token) {
            tls.remove(hostname);
        }
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenges ({} by HTTP, {} by TLS)", self.http.len(), self.tls.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_is_for_its_own_host_and_token_and_until_it_expires() {
        let challenges = Challenges::default();
        let now = Instant::now();
        let put = |token, seconds| {
            let answer = Answer::Http(Bytes::from_static(b"answer"));
            challenges.put("contoso.com", token, answer, now + Duration::from_secs(seconds));
        };
        put("lives", 60);
        put("expired", 0);
        for (host, token, expected) in [
            ("contoso.com", "lives", true),
            ("contoso.com", "expired", false),
            ("contoso.com", "other", false),
            ("fabrikam.com", "lives", false),
            ("contoso.co", "mlives", false),
        ] {
            assert_eq!(challenges.http_01(host, token).is_some(), expected, "{host} {token}");
        }
        challenges.remove("contoso.com", "other");
        assert!(challenges.http_01("contoso.com", "lives").is_some());
        challenges.remove("contoso.com", "lives");
        assert!(challenges.http_01("contoso.com", "lives").is_none());
    }
}
