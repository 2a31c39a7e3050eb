//! A TLS handshake as a device makes it, over a connection that is there already. The server's certificates are
//! recorded and judged afterwards, so that all that is wrong can be told; until they are found good, nothing but
//! the handshake is sent.
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::{
    AlertDescription, CipherSuite, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::trust::Trust;

pub type Stream = TlsStream<TcpStream>;

/// A handshake that came to its end; whether the certificates are good is not said yet.
pub struct Session {
    pub stream: Stream,
    pub version: String,
    pub suite: String,
    /// Only then does the Extended Master Secret matter.
    pub is_tls12: bool,
    pub chain: Vec<CertificateDer<'static>>,
    /// Why the server's signature did not fit the certificate.
    pub bad_signature: Option<String>,
}

/// A handshake that did not.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    pub why: Why,
    pub client_certificate_wanted: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    Silence,
    /// Ended by the server without a word.
    Closed,
    Alert(u8),
    /// What came was not TLS, or not a TLS that we understand.
    Misunderstood(String),
}

/// Shakes hands with the server that is `name`, a host name or an address.
pub async fn handshake(trust: &Trust, stream: TcpStream, name: &str, patience: Duration) -> Result<Session, Broken> {
    let record = Arc::new(Record::new(&trust.provider));
    let broken = |why, record: &Record| Broken {
        why,
        client_certificate_wanted: record.client_certificate_wanted.load(Ordering::Relaxed),
    };
    let Some((config, name)) = config(trust, &record).zip(ServerName::try_from(name.to_owned()).ok()) else {
        return Err(broken(
            Why::Misunderstood("no server can have this name".to_owned()),
            &record,
        ));
    };
    let stream = match timeout(patience, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(broken(why(&error), &record)),
        Err(_) => return Err(broken(Why::Silence, &record)),
    };
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version();
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let bad_signature = record.seen(|seen| seen.bad_signature.take());
    Ok(Session {
        version: version_name(version),
        suite: suite
            .as_ref()
            .and_then(CipherSuite::as_str)
            .unwrap_or("unknown")
            .to_owned(),
        is_tls12: version == Some(ProtocolVersion::TLSv1_2),
        chain: record.seen(|seen| std::mem::take(&mut seen.chain)),
        bad_signature,
        stream,
    })
}

fn config(trust: &Trust, record: &Arc<Record>) -> Option<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(trust.provider.clone())
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(record.clone())
        .with_client_cert_resolver(record.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Some(config.into())
}

fn version_name(version: Option<ProtocolVersion>) -> String {
    super::hello::version_name(version.map_or(0, u16::from))
}

fn why(error: &io::Error) -> Why {
    match inner(error) {
        Some(Error::AlertReceived(alert)) => Why::Alert(u8::from(*alert)),
        Some(error) => Why::Misunderstood(error.to_string()),
        None => Why::Closed,
    }
}

/// The alert that the server sent, wherever in an exchange it came.
pub fn alert(error: &io::Error) -> Option<AlertDescription> {
    match inner(error) {
        Some(Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Takes every certificate, and remembers it.
#[derive(Debug)]
struct Record {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
    client_certificate_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    bad_signature: Option<String>,
}

impl Record {
    fn new(provider: &Arc<CryptoProvider>) -> Self {
        Self {
            provider: provider.clone(),
            seen: Mutex::default(),
            client_certificate_wanted: AtomicBool::new(false),
        }
    }

    fn seen<T>(&self, use_it: impl FnOnce(&mut Seen) -> T) -> T {
        use_it(&mut self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn remember(&self, verified: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        verified.unwrap_or_else(|error| {
            self.seen(|seen| seen.bad_signature = Some(error.to_string()));
            HandshakeSignatureValid::assertion()
        })
    }
}

impl ServerCertVerifier for Record {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|one| one.clone().into_owned()).collect();
        self.seen(|seen| seen.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.remember(verify_tls12_signature(message, cert, dss, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.remember(verify_tls13_signature(message, cert, dss, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A device has no certificate yet; that one was asked for explains why a handshake ends.
impl ResolvesClientCert for Record {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.client_certificate_wanted.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
