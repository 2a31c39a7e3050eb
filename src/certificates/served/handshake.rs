//! A handshake that only wants to see the certificate. Any is taken, and nothing is sent after it.
use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::DateTime;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Shown;

const PATIENCE: Duration = Duration::from_secs(5);
/// To say that it is over.
const FAREWELL: Duration = Duration::from_millis(500);

/// Cheap to clone.
#[derive(Clone)]
pub struct Handshakes(TlsConnector);

impl Handshakes {
    pub fn new() -> Result<Self, Error> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        // A session that goes on shows no certificate.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// What whoever is at the other end of `stream` shows for `hostname`.
    pub async fn shake(&self, stream: TcpStream, hostname: &str) -> Shown {
        let Ok(name) = ServerName::try_from(hostname.to_owned()) else {
            return Shown::Nothing;
        };
        let mut stream = match timeout(PATIENCE, self.0.connect(name, stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Shown::Nothing,
            Err(_) => return Shown::Unreachable,
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let shown = leaf.map_or(Shown::Nothing, |leaf| shown(leaf));
        timeout(FAREWELL, stream.shutdown()).await.ok();
        shown
    }
}

fn shown(leaf: &[u8]) -> Shown {
    let not_after = X509Certificate::from_der(leaf)
        .ok()
        .and_then(|(_, leaf)| DateTime::from_timestamp(leaf.validity().not_after.timestamp(), 0));
    Shown::Leaf {
        fingerprint: digest(&SHA256, leaf).as_ref().to_vec(),
        not_after,
    }
}

/// Takes any certificate, if the server holds its key: which one it should be is judged afterwards.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
