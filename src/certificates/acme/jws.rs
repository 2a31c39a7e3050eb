//! Signs what a CA is asked (RFC 8555 §6.2): ES256 with the account's key, and HS256 where an account of the CA's
//! own kind is bound to it (§7.3.4).
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{CaError, Eab};

/// Who signs: a key that has no account yet, or an account.
#[derive(Clone, Copy)]
pub enum Signer<'a> {
    Key(&'a EcdsaKeyPair),
    Account { key: &'a EcdsaKeyPair, url: &'a str },
}

/// A JWS in its flattened JSON form.
#[derive(Serialize)]
pub struct Jws {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Serialize)]
struct Protected<'a> {
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<Jwk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    url: &'a str,
}

#[derive(Serialize)]
struct Jwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

/// `payload` is JSON, or empty for a POST-as-GET.
pub fn sign(signer: Signer<'_>, nonce: &str, url: &str, payload: &str) -> Result<String, CaError> {
    let (key, jwk, kid) = match signer {
        Signer::Key(key) => (key, Some(Jwk::of(key)), None),
        Signer::Account { key, url } => (key, None, Some(url)),
    };
    let protected = Protected {
        alg: "ES256",
        jwk,
        kid,
        nonce: Some(nonce),
        url,
    };
    let jws = Jws::signed(&protected, payload, |message| {
        let signature = key.sign(&SystemRandom::new(), message);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| CaError::Unasked("the account's key does not sign"))
    })?;
    Ok(json(&jws))
}

/// Shows that whoever has the account's key has the other account's as well.
pub fn bind(key: &EcdsaKeyPair, eab: &Eab, new_account: &str) -> Result<Jws, CaError> {
    let secret = secret(&eab.key).ok_or(CaError::Unasked("the key of the external account is not base64url"))?;
    let protected = Protected {
        alg: "HS256",
        jwk: None,
        kid: Some(&eab.key_id),
        nonce: None,
        url: new_account,
    };
    Jws::signed(&protected, &json(&Jwk::of(key)), |message| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(hmac::sign(&secret, message).as_ref().to_vec())
    })
}

/// CAs print it with or without padding, some in the other alphabet.
fn secret(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    let secret = URL_SAFE_NO_PAD.decode(text).ok()?;
    (!secret.is_empty()).then_some(secret)
}

impl Jws {
    fn signed(
        protected: &Protected<'_>,
        payload: &str,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, CaError>,
    ) -> Result<Self, CaError> {
        let protected = URL_SAFE_NO_PAD.encode(json(protected));
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signature = sign(format!("{protected}.{payload}").as_bytes())?;
        Ok(Self {
            protected,
            payload,
            signature: URL_SAFE_NO_PAD.encode(signature),
        })
    }
}

impl Jwk {
    fn of(key: &EcdsaKeyPair) -> Self {
        // An uncompressed point: 4, x, y.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        Self {
            crv: "P-256",
            kty: "EC",
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts can be written as JSON")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use rustls_acme::acme::Account;
    use serde_json::{Value, json};

    use super::{super::key_pair, *};

    fn decoded(part: &Value) -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(part.as_str().unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_request_names_its_key_or_its_account_and_its_signature_holds() {
        let key = key_pair(&Account::generate_key_pair()).unwrap();
        let account = Signer::Account {
            key: &key,
            url: "https://ca.example/account/1",
        };
        for signer in [Signer::Key(&key), account] {
            let jws = sign(signer, "nonce", "https://ca.example/new-order", r#"{"a":1}"#).unwrap();
            let jws: Value = serde_json::from_str(&jws).unwrap();
            let protected = decoded(&jws["protected"]);
            assert_eq!(protected["nonce"], "nonce");
            assert_eq!(protected["url"], "https://ca.example/new-order");
            assert_ne!(protected.get("jwk").is_some(), protected.get("kid").is_some());
            assert_eq!(decoded(&jws["payload"]), json!({"a": 1}));
            let message = format!(
                "{}.{}",
                jws["protected"].as_str().unwrap(),
                jws["payload"].as_str().unwrap()
            );
            let signature = URL_SAFE_NO_PAD.decode(jws["signature"].as_str().unwrap()).unwrap();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())
                .verify(message.as_bytes(), &signature)
                .unwrap();
        }
    }

    #[test]
    fn an_external_accounts_key_is_taken_as_cas_print_it() {
        for text in ["-_8", "-_8=", "+/8=", " -_8\n"] {
            assert_eq!(secret(text), Some(vec![0xfb, 0xff]), "{text:?}");
        }
        for text in ["", "=", "not a key!"] {
            assert_eq!(secret(text), None, "{text:?}");
        }
    }
}
