//! Server name → certificate, in memory. An unknown name gets none and the handshake fails: a
//! certificate for another name would only be a confusing error, and tells that we know others.
use std::{fmt, sync::Arc};

use papaya::HashMap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    Stored,
    challenges::{self, Challenges},
    key_context,
    signing::P256Key,
};
use crate::{
    hostname::Hostname,
    sealed::{Keyring, SealError},
};

/// The certificates that this node serves. Readers take no lock; a change costs one entry.
#[derive(Default)]
pub struct Resolver {
    certificates: HashMap<Hostname, Served>,
    /// The portal's and the edge's, which need not be [`Hostname`]s (`localhost`).
    own: HashMap<Box<str>, Served>,
}

struct Served {
    key: Arc<CertifiedKey>,
    /// Seconds since 1970.
    not_after: i64,
}

/// How many certificates there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub valid: u64,
    pub expired: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificate {
    #[error(transparent)]
    Sealed(#[from] SealError),
}

impl Resolver {
    /// Opens a stored certificate's key and serves it from now on.
    pub fn put(
        &self,
        keyring: &Keyring,
        issuer: &str,
        hostname: Hostname,
        stored: Stored,
    ) -> Result<(), UnusableCertificate> {
        let served = open(keyring, issuer, hostname.as_str(), stored)?;
        self.certificates.pin().insert(hostname, served);
        Ok(())
    }

    /// The same for a host of our own.
    pub fn put_own(
        &self,
        keyring: &Keyring,
        issuer: &str,
        hostname: &str,
        stored: Stored,
    ) -> Result<(), UnusableCertificate> {
        let served = open(keyring, issuer, hostname, stored)?;
        self.own.pin().insert(hostname.into(), served);
        Ok(())
    }

    pub fn remove(&self, hostname: &str) {
        self.certificates.pin().remove(hostname);
    }

    /// Drops every certificate that `keep` does not name; our own stay.
    pub fn retain(&self, mut keep: impl FnMut(&Hostname) -> bool) {
        self.certificates.pin().retain(|hostname, _| keep(hostname));
    }

    /// The same, our own hosts among them.
    #[must_use]
    pub fn shows(&self, hostname: &str) -> bool {
        self.find(hostname).is_some()
    }

    #[must_use]
    pub fn has(&self, hostname: &str) -> bool {
        self.certificates.pin().contains_key(hostname)
    }

    /// How many certificates have at most so many seconds left, and more than the one before: of `within`, in its
    /// order, and of the rest.
    #[must_use]
    pub fn left<const N: usize>(&self, within: [i64; N], now: i64) -> ([u64; N], u64) {
        let (mut counts, mut more) = ([0; N], 0);
        let mut count = |served: &Served| {
            let left = served.not_after - now;
            match within.iter().position(|within| left <= *within) {
                Some(index) => counts[index] += 1,
                None => more += 1,
            }
        };
        self.certificates.pin().values().for_each(&mut count);
        self.own.pin().values().for_each(&mut count);
        (counts, more)
    }

    #[must_use]
    pub fn counts(&self, now: i64) -> Counts {
        let mut counts = Counts::default();
        let mut count = |served: &Served| {
            if served.not_after > now {
                counts.valid += 1
            } else {
                counts.expired += 1
            }
        };
        self.certificates.pin().values().for_each(&mut count);
        self.own.pin().values().for_each(&mut count);
        counts
    }

    fn find(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.pin();
        certificates
            .get(server_name)
            .map(|served| served.key.clone())
            .or_else(|| self.own.pin().get(server_name).map(|served| served.key.clone()))
    }
}

fn open(keyring: &Keyring, issuer: &str, hostname: &str, stored: Stored) -> Result<Served, UnusableCertificate> {
    let key = P256Key::new(keyring.open(&key_context(hostname, issuer), &stored.key_sealed)?);
    let chain = stored.chain.into_iter().map(CertificateDer::from).collect();
    Ok(Served {
        key: Arc::new(CertifiedKey::new(chain, Arc::new(key))),
        not_after: stored.not_after,
    })
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()?)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resolver of {} certificates", self.certificates.len())
    }
}

/// TLS 1.2 and 1.3 with aws-lc-rs's defaults: AEAD and ECDHE only, post-quantum key exchange first.
/// [Apple, support.apple.com/126655]
pub fn server_config(resolver: Arc<Resolver>) -> Result<ServerConfig, rustls::Error> {
    let mut config = config(resolver)?;
    // Resumption by sealed tickets: no session cache, so no lock between handshakes. A device asks
    // once; one ticket is plenty.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The same for listeners that a CA also validates by TLS-ALPN-01. Without resumption: a session would carry over
/// from the one kind of connection to the other, with no certificate shown.
pub fn server_config_with_validation(
    resolver: Arc<Resolver>,
    challenges: Arc<Challenges>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = config(Arc::new(ByPurpose { resolver, challenges }))?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn config(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// A validation is shown the challenge's certificate, everybody else the domain's, and nobody the other one.
#[derive(Debug)]
struct ByPurpose {
    resolver: Arc<Resolver>,
    challenges: Arc<Challenges>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Request,
    Validation,
    /// Neither: it would be a validation by the protocol chosen, and is none.
    Nonsense,
}

/// RFC 8737 §3: a validation offers its protocol alone. Beside one of HTTP's it would lose to that one.
fn purpose<'a>(mut offered: impl Iterator<Item = &'a [u8]>) -> Purpose {
    let (mut others, mut validates) = (0, 0);
    loop {
        match offered.next() {
            Some(b"h2" | b"http/1.1") => return Purpose::Request,
            Some(challenges::ALPN) => validates += 1,
            Some(_) => others += 1,
            None => break,
        }
    }
    match (validates, others) {
        (0, _) => Purpose::Request,
        (1, 0) => Purpose::Validation,
        _ => Purpose::Nonsense,
    }
}

impl ResolvesServerCert for ByPurpose {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.alpn().map_or(Purpose::Request, purpose) {
            Purpose::Request => self.resolver.find(hello.server_name()?),
            Purpose::Validation => self.challenges.tls_alpn_01(hello.server_name()?),
            Purpose::Nonsense => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hello_that_offers_nothing_but_the_validation_is_one() {
        for (offered, expected) in [
            (&[][..], Purpose::Request),
            (&["h2", "http/1.1"], Purpose::Request),
            (&["http/1.0"], Purpose::Request),
            (&["acme-tls/1"], Purpose::Validation),
            (&["acme-tls/1", "h2"], Purpose::Request),
            (&["http/1.1", "acme-tls/1"], Purpose::Request),
            (&["acme-tls/1", "acme-tls/1"], Purpose::Nonsense),
            (&["spdy/3", "acme-tls/1"], Purpose::Nonsense),
            (&["acme-tls/1", ""], Purpose::Nonsense),
            (&["acme-tls/12"], Purpose::Request),
            (&["ACME-TLS/1"], Purpose::Request),
        ] {
            let offered_bytes = offered.iter().map(|protocol| protocol.as_bytes());
            assert_eq!(purpose(offered_bytes), expected, "{offered:?}");
        }
    }
}
