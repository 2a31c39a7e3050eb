//! A TLS handshake as a CA makes it for TLS-ALPN-01: whatever certificate comes is looked at, none is believed.
use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_acme::acme::ACME_TLS_ALPN_NAME;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};

/// The leaf, DER; or why there is none.
pub async fn hello(stream: TcpStream, hostname: &str) -> Result<Vec<u8>, String> {
    let name = ServerName::try_from(hostname.to_owned()).map_err(|error| error.to_string())?;
    let secured = TlsConnector::from(config()?).connect(name, stream).await;
    let secured = secured.map_err(|error| error.to_string())?;
    let (_, session) = secured.get_ref();
    if session.alpn_protocol() != Some(ACME_TLS_ALPN_NAME) {
        return Err("a server that does not speak acme-tls/1".to_owned());
    }
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    leaf.map(|leaf| leaf.to_vec())
        .ok_or_else(|| "no certificate".to_owned())
}

fn config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Looking(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ACME_TLS_ALPN_NAME.to_vec()];
    Ok(Arc::new(config))
}

/// Believes every certificate: what stands in it is what is asked for.
#[derive(Debug)]
struct Looking(Arc<CryptoProvider>);

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Verifying parses the certificate, and webpki refuses one with a critical extension that it does not know: the very
    // one that is looked for. Only who holds the account's key can have written what stands in it.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
