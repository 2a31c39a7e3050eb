//! Checks what clients sign (RFC 8555 §6.2 to §6.5), as strictly as the RFC.
use aws_lc_rs::{
    hmac,
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    Answer,
    state::{PublicKey, State},
};

/// A request whose signature, nonce and address are right.
pub struct Checked {
    /// None: a key that signs for itself.
    pub account: Option<usize>,
    pub key: PublicKey,
    pub jwk: Value,
    /// Null for a POST-as-GET.
    pub payload: Value,
}

pub fn check(state: &mut State, base: &str, url: &str, body: &[u8]) -> Result<Checked, Answer> {
    let malformed = |detail: &str| Answer::problem(400, "malformed", detail);
    let jws: Value = serde_json::from_slice(body).map_err(|error| malformed(&error.to_string()))?;
    let (protected, message) = parts(&jws).ok_or_else(|| malformed("not a flattened JWS"))?;
    if protected["alg"] != "ES256" {
        return Err(Answer::problem(400, "badSignatureAlgorithm", "ES256 only"));
    }
    if protected["url"] != url {
        return Err(Answer::problem(401, "unauthorized", "signed for another address"));
    }
    let (account, key) = match (&protected["jwk"], protected["kid"].as_str()) {
        (Value::Null, Some(kid)) => {
            let account = account(state, base, kid);
            let account = account.ok_or_else(|| Answer::problem(400, "accountDoesNotExist", kid))?;
            (Some(account), state.accounts[account].key.clone())
        }
        (jwk, None) => (None, point(jwk).ok_or_else(|| malformed("not a key on P-256"))?),
        _ => return Err(malformed("either a jwk or a kid")),
    };
    let signature = decoded(&jws["signature"]).unwrap_or_default();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key)
        .verify(message.as_bytes(), &signature)
        .map_err(|_| malformed("the signature does not hold"))?;
    // Last, as nothing else should use up a nonce.
    let nonce = protected["nonce"].as_str().unwrap_or_default();
    if !state.take_nonce(nonce) {
        return Err(Answer::problem(400, "badNonce", "a nonce that is not known"));
    }
    let payload = decoded(&jws["payload"]).ok_or_else(|| malformed("no payload"))?;
    let payload = match payload.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&payload).map_err(|error| malformed(&error.to_string()))?,
    };
    Ok(Checked {
        account,
        key,
        jwk: protected["jwk"].clone(),
        payload,
    })
}

/// An external account binding (RFC 8555 §7.3.4).
pub fn is_bound(binding: &Value, (key_id, key): &(String, String), jwk: &Value, new_account: &str) -> bool {
    let Some((protected, message)) = parts(binding) else {
        return false;
    };
    let of_payload = decoded(&binding["payload"]).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(key).unwrap());
    let signature = decoded(&binding["signature"]).unwrap_or_default();
    protected["alg"] == "HS256"
        && protected["kid"] == key_id.as_str()
        && protected["url"] == new_account
        && protected.get("nonce").is_none()
        && of_payload.as_ref() == Some(jwk)
        && hmac::verify(&secret, message.as_bytes(), &signature).is_ok()
}

/// The protected header, and what is signed.
fn parts(jws: &Value) -> Option<(Value, String)> {
    let (protected, payload) = (jws["protected"].as_str()?, jws["payload"].as_str()?);
    let header = serde_json::from_slice(&decoded(&jws["protected"])?).ok()?;
    Some((header, format!("{protected}.{payload}")))
}

fn account(state: &State, base: &str, kid: &str) -> Option<usize> {
    let number: usize = kid.strip_prefix(base)?.strip_prefix("/account/")?.parse().ok()?;
    (number < state.accounts.len()).then_some(number)
}

fn point(jwk: &Value) -> Option<PublicKey> {
    let is_p256 = jwk["kty"] == "EC" && jwk["crv"] == "P-256";
    let (x, y) = (decoded(&jwk["x"])?, decoded(&jwk["y"])?);
    (is_p256 && x.len() == 32 && y.len() == 32).then(|| [&[4], x.as_slice(), &y].concat())
}

fn decoded(part: &Value) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part.as_str()?).ok()
}
