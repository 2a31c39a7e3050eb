//! A code becomes an ID token (OpenID Connect Core 1.0 §3.1.3), and the token what it says: once its signature, issuer,
//! audience, times and nonce are right.
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::{
    AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    EmptyExtraTokenFields, IdTokenClaims, IdTokenFields, IdTokenVerifier, Nonce, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, StandardErrorResponse, StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Client, Config, Oidc};
use crate::outbound::FetchError;

/// Between the provider's clock and ours.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// What Entra says beside the standard's claims.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Entra {
    #[serde(default)]
    xms_edov: Value,
}

impl AdditionalClaims for Entra {}

type Fields = IdTokenFields<
    Entra,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type TokenError = StandardErrorResponse<CoreErrorResponseType>;
type Asking = openidconnect::Client<
    Entra,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    TokenError,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;

/// What came back, and what must be in it.
pub struct Answer<'a> {
    pub code: &'a str,
    pub verifier: &'a str,
    pub nonce: &'a str,
}

/// What a verified ID token says. Has no `Debug`.
pub struct Identity {
    pub subject: String,
    pub email: Option<String>,
    pub is_email_verified: bool,
    /// `xms_edov`.
    pub is_domain_owner_verified: bool,
    pub name: Option<String>,
}

/// Why there is none. Says nothing of a person, and nothing in the provider's words.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    #[error("the provider can't be asked")]
    Unreachable(#[source] FetchError),
    /// The client secret is wrong, or the redirect URI, or the code.
    #[error("the provider refuses the code ({0})")]
    Refused(&'static str),
    #[error("the provider's answer can't be read")]
    Unreadable,
    #[error("the provider's keys can't be read")]
    Keys,
    #[error("the ID token is not right: {0}")]
    Token(&'static str),
}

impl Oidc {
    pub async fn redeem(
        &self,
        config: &Config,
        client: &Client<'_>,
        answer: &Answer<'_>,
        now: DateTime<Utc>,
    ) -> Result<Identity, RedeemError> {
        let tokens = self.exchange(config, client, answer).await?;
        let token = tokens.extra_fields().id_token().ok_or(RedeemError::Unreadable)?;
        let keys = self.keys(config).await?;
        let id = ClientId::new(client.id.to_owned());
        // As one without a secret: a signature made with something that both know is none.
        let verifier = IdTokenVerifier::new_public_client(id, config.metadata.issuer().clone(), keys)
            .set_allowed_algs(config.algorithms())
            .set_time_fn(move || now)
            .set_issue_time_verifier_fn(move |at| match at <= now + SKEW {
                true => Ok(()),
                false => Err("issued in the future".to_owned()),
            });
        let claims = token
            .claims(&verifier, &Nonce::new(answer.nonce.to_owned()))
            .map_err(|error| RedeemError::Token(fault(&error)))?;
        read(claims, client.id)
    }

    async fn exchange(&self, config: &Config, client: &Client<'_>, answer: &Answer<'_>) -> Result<Tokens, RedeemError> {
        let (id, secret) = (client.id.to_owned(), client.secret.to_owned());
        let redirect = RedirectUrl::new(client.redirect_url.to_owned()).map_err(|_| RedeemError::Unreadable)?;
        let asking: Asking = openidconnect::Client::from_provider_metadata(
            config.metadata.clone(),
            ClientId::new(id),
            Some(ClientSecret::new(secret)),
        );
        let asking = asking.set_redirect_uri(redirect).set_auth_type(config.auth_type());
        let request = asking
            .exchange_code(AuthorizationCode::new(answer.code.to_owned()))
            .map_err(|_| RedeemError::Unreadable)?
            .set_pkce_verifier(PkceCodeVerifier::new(answer.verifier.to_owned()));
        let send = |request| self.send(request);
        request.request_async(&send).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer) => RedeemError::Refused(word(answer.error())),
            RequestTokenError::Request(error) => RedeemError::Unreachable(error),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => RedeemError::Unreadable,
        })
    }

    async fn keys(&self, config: &Config) -> Result<CoreJsonWebKeySet, RedeemError> {
        let fetched = self.get(config.metadata.jwks_uri().url()).await;
        let fetched = fetched.map_err(RedeemError::Unreachable)?;
        match fetched.status {
            http::StatusCode::OK => serde_json::from_slice(&fetched.body).map_err(|_| RedeemError::Keys),
            _ => Err(RedeemError::Keys),
        }
    }
}

impl Config {
    /// How the provider wants to be shown the secret; RFC 6749 §2.3.1 has everyone know the first.
    fn auth_type(&self) -> AuthType {
        let known = self.metadata.token_endpoint_auth_methods_supported();
        let knows = |method| known.is_none_or(|known| known.contains(&method));
        match !knows(CoreClientAuthMethod::ClientSecretBasic) && knows(CoreClientAuthMethod::ClientSecretPost) {
            true => AuthType::RequestBody,
            false => AuthType::BasicAuth,
        }
    }
}

fn read(claims: &IdTokenClaims<Entra, CoreGenderClaim>, client_id: &str) -> Result<Identity, RedeemError> {
    if claims
        .authorized_party()
        .is_some_and(|party| party.as_str() != client_id)
    {
        return Err(RedeemError::Token("authorized party"));
    }
    let name = claims.name().and_then(|names| names.get(None));
    Ok(Identity {
        subject: claims.subject().as_str().to_owned(),
        email: claims.email().map(|email| email.as_str().to_owned()),
        is_email_verified: claims.email_verified() == Some(true),
        is_domain_owner_verified: is_true(&claims.additional_claims().xms_edov),
        name: name.map(|name| name.as_str().to_owned()),
    })
}

/// Entra has written it in each of these ways.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_u64() == Some(1),
        Value::String(text) => matches!(text.as_str(), "1" | "true" | "True"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The standard's own words only (RFC 6749 §5.2).
fn word(error: &CoreErrorResponseType) -> &'static str {
    match error {
        CoreErrorResponseType::InvalidClient => "invalid_client",
        CoreErrorResponseType::InvalidGrant => "invalid_grant",
        CoreErrorResponseType::InvalidRequest => "invalid_request",
        CoreErrorResponseType::UnauthorizedClient => "unauthorized_client",
        CoreErrorResponseType::UnsupportedGrantType => "unsupported_grant_type",
        _ => "another error",
    }
}

fn fault(error: &ClaimsVerificationError) -> &'static str {
    match error {
        ClaimsVerificationError::Expired(_) => "time",
        ClaimsVerificationError::InvalidAudience(_) => "audience",
        ClaimsVerificationError::InvalidIssuer(_) => "issuer",
        ClaimsVerificationError::InvalidNonce(_) => "nonce",
        ClaimsVerificationError::InvalidSubject(_) => "subject",
        ClaimsVerificationError::SignatureVerification(_) => "signature",
        _ => "unsupported",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_says_so_is_true() {
        for (value, expected) in [
            (json!(true), true),
            (json!(1), true),
            (json!("1"), true),
            (json!("true"), true),
            (json!(false), false),
            (json!(0), false),
            (json!(2), false),
            (json!("0"), false),
            (json!("yes"), false),
            (json!(null), false),
            (json!([true]), false),
            (json!({ "true": true }), false),
        ] {
            assert_eq!(is_true(&value), expected, "{value}");
        }
    }
}
