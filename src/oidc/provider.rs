//! What a provider says of itself (OpenID Connect Discovery 1.0), and where somebody is sent to sign in there.
use openidconnect::{
    AuthenticationFlow, ClientId, CsrfToken, LoginHint, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    core::{
        CoreClient, CoreGrantType, CoreJsonWebKeyType, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    },
};
use openidconnect::{JwsSigningAlgorithm, url::ParseError};
use serde::Deserialize;
use url::Url;

use super::{Client, Oidc};
use crate::outbound::{FetchError, Fetched};

/// A provider that can be asked.
#[derive(Debug)]
pub struct Config {
    pub(super) metadata: CoreProviderMetadata,
    /// Whether it says in each answer whose it is (RFC 9207).
    names_itself: bool,
}

#[derive(Deserialize)]
struct More {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Why a provider can't be used. Each is for whoever sets it up.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("the provider can't be asked: {0}")]
    Unreachable(#[source] FetchError),
    #[error("the provider answers {0} at {1}, and 200 is needed")]
    Status(u16, String),
    #[error("there is no OpenID configuration at {0}")]
    Unreadable(String),
    #[error("the provider says that it is {found}, and not {wanted}: type what it says, to the letter")]
    OtherIssuer { wanted: String, found: String },
    #[error("the provider names an address that is not https")]
    Insecure,
    #[error("the provider does not offer the authorization code flow")]
    NoCodeFlow,
    #[error("the provider signs with nothing that is taken here: RS256, PS256, ES256, EdDSA and their longer kin are")]
    NoAlgorithm,
}

/// What goes along with somebody who is sent there.
pub struct Request<'a> {
    pub state: &'a str,
    pub nonce: &'a str,
    pub verifier: &'a str,
    /// The address that was typed here, so that it need not be typed there.
    pub login_hint: &'a str,
}

impl Oidc {
    /// Asks the provider what it is. `issuer`: an address, as it was parsed; `at`: where its configuration is.
    pub async fn discover(&self, issuer: &str, at: &str) -> Result<Config, DiscoveryError> {
        let unreadable = || DiscoveryError::Unreadable(at.to_owned());
        let url = Url::parse(at).map_err(|_| unreadable())?;
        let fetched = self.get(&url).await.map_err(DiscoveryError::Unreachable)?;
        judge(issuer, at, &fetched)
    }
}

fn judge(issuer: &str, at: &str, fetched: &Fetched) -> Result<Config, DiscoveryError> {
    if fetched.status != http::StatusCode::OK {
        return Err(DiscoveryError::Status(fetched.status.as_u16(), at.to_owned()));
    }
    let unreadable = |_| DiscoveryError::Unreadable(at.to_owned());
    let metadata: CoreProviderMetadata = serde_json::from_slice(&fetched.body).map_err(unreadable)?;
    let more: More = serde_json::from_slice(&fetched.body).map_err(unreadable)?;
    if metadata.issuer().as_str() != issuer {
        return Err(DiscoveryError::OtherIssuer {
            wanted: issuer.to_owned(),
            found: metadata.issuer().as_str().chars().take(200).collect(),
        });
    }
    let token_endpoint = metadata.token_endpoint().ok_or(DiscoveryError::NoCodeFlow)?;
    let endpoints = [
        metadata.authorization_endpoint().url(),
        token_endpoint.url(),
        metadata.jwks_uri().url(),
    ];
    // A trial's provider on loopback has no certificate anywhere.
    let is_trial = metadata.issuer().url().scheme() == "http";
    let is_fit = |url: &&Url| url.scheme() == "https" || url.scheme() == "http" && is_trial;
    if !endpoints.iter().all(is_fit) {
        return Err(DiscoveryError::Insecure);
    }
    let mut responses = metadata.response_types_supported().iter();
    let grants = metadata.grant_types_supported();
    if !responses.any(|types| **types == [CoreResponseType::Code])
        || grants.is_some_and(|grants| !grants.contains(&CoreGrantType::AuthorizationCode))
    {
        return Err(DiscoveryError::NoCodeFlow);
    }
    let config = Config {
        metadata,
        names_itself: more.authorization_response_iss_parameter_supported,
    };
    match config.algorithms().is_empty() {
        true => Err(DiscoveryError::NoAlgorithm),
        false => Ok(config),
    }
}

impl Config {
    /// What it signs with, of what is taken here: a signature that only the holder of a private key can make.
    pub(super) fn algorithms(&self) -> Vec<CoreJwsSigningAlgorithm> {
        let offered = self.metadata.id_token_signing_alg_values_supported().iter();
        let is_taken = |algorithm: &&CoreJwsSigningAlgorithm| {
            let key = algorithm.key_type();
            key.is_some_and(|key| key != CoreJsonWebKeyType::Symmetric)
                // The library can't check it.
                && **algorithm != CoreJwsSigningAlgorithm::EcdsaP521Sha512
        };
        offered.filter(is_taken).cloned().collect()
    }

    /// Whether an answer that says it is of `issuer` can be this provider's (RFC 9207 §2.4). Otherwise a code of another
    /// provider's could be brought here, and handed to this one.
    #[must_use]
    pub fn may_have_answered(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.metadata.issuer().as_str(),
            None => !self.names_itself,
        }
    }

    /// Where somebody is to go.
    pub fn authorization_url(&self, client: &Client<'_>, request: &Request<'_>) -> Result<Url, ParseError> {
        let (state, nonce) = (request.state.to_owned(), request.nonce.to_owned());
        let verifier = PkceCodeVerifier::new(request.verifier.to_owned());
        let id = ClientId::new(client.id.to_owned());
        let to = CoreClient::from_provider_metadata(self.metadata.clone(), id, None)
            .set_redirect_uri(RedirectUrl::new(client.redirect_url.to_owned())?);
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let (url, _, _) = to
            .authorize_url(flow, move || CsrfToken::new(state), move || Nonce::new(nonce))
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .set_login_hint(LoginHint::new(request.login_hint.to_owned()))
            .url();
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://id.example";

    fn judged(name: &str, value: impl Into<serde_json::Value>) -> Result<Config, DiscoveryError> {
        let mut said = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://id.example/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        });
        said[name] = value.into();
        let fetched = Fetched {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: said.to_string().into(),
            address: "192.0.2.1:443".parse().unwrap(),
        };
        judge(ISSUER, ISSUER, &fetched)
    }

    #[test]
    fn a_provider_on_https_names_no_address_without_it() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            assert!(judged(name, "https://other.example/x").is_ok(), "{name}");
            let refused = judged(name, "http://id.example/x");
            assert!(matches!(refused, Err(DiscoveryError::Insecure)), "{name}");
        }
    }

    #[test]
    fn a_provider_that_says_in_each_answer_whose_it_is_has_to_say_it() {
        const NAME: &str = "authorization_response_iss_parameter_supported";
        for (names_itself, issuer, expected) in [
            (true, Some(ISSUER), true),
            (true, None, false),
            (true, Some("https://other.example"), false),
            (false, Some(ISSUER), true),
            (false, None, true),
            (false, Some("https://other.example"), false),
        ] {
            let config = judged(NAME, names_itself).unwrap();
            assert_eq!(config.may_have_answered(issuer), expected, "{names_itself} {issuer:?}");
        }
    }
}
