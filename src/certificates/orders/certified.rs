//! The key and the request of an order, and whether the certificate that came is the one that was asked for.
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use chrono::{DateTime, Utc};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use super::Stop;

/// A new private key, PKCS#8.
pub fn new_key() -> Result<Vec<u8>, Stop> {
    let pair = KeyPair::generate().map_err(unmakeable)?;
    Ok(pair.serialize_der())
}

/// The certificate signing request (RFC 2986), DER: the name stands in the SAN only.
pub fn request(hostname: &str, key: &[u8]) -> Result<Vec<u8>, Stop> {
    let pair = KeyPair::try_from(key).map_err(unmakeable)?;
    let mut params = CertificateParams::new([hostname.to_owned()]).map_err(unmakeable)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&pair).map_err(unmakeable)?;
    Ok(request.der().to_vec())
}

fn unmakeable(error: rcgen::Error) -> Stop {
    Stop::Unusable(format!(
        "The key or the request of the order could not be made: {error}."
    ))
}

/// How long it holds, if it is for `hostname` alone, for our key, and valid at `now`. What a CA sends is not believed.
pub fn validity(
    chain: &[Vec<u8>],
    hostname: &str,
    key: &[u8],
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Stop> {
    let unusable = |what: &str| Stop::Unusable(format!("The CA's certificate {what}."));
    let leaf = chain.first().ok_or_else(|| unusable("is missing"))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| unusable("can't be read"))?;
    for issuer in &chain[1..] {
        X509Certificate::from_der(issuer).map_err(|_| unusable("has a chain that can't be read"))?;
    }
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.ok_or_else(|| unusable("names no host"))?;
    let is_ours =
        |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(hostname));
    if !names.value.general_names.iter().any(is_ours) {
        return Err(unusable(&format!("is not for {hostname}")));
    }
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).map_err(|_| unusable("has no usable key"))?;
    if leaf.public_key().subject_public_key.data != pair.public_key().as_ref() {
        return Err(unusable("is for another key"));
    }
    let instant = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    let validity = instant(leaf.validity().not_before).zip(instant(leaf.validity().not_after));
    let (not_before, not_after) = validity.ok_or_else(|| unusable("has no readable validity"))?;
    if not_after <= now || not_after <= not_before {
        return Err(unusable("has expired already"));
    }
    Ok((not_before, not_after))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn a_certificate_is_taken_only_for_our_name_and_key_and_while_it_holds() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let (key, other) = (new_key().expect("a key"), new_key().expect("a key"));
        let signed = |name: &str, key: &[u8], until: DateTime<Utc>| {
            let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
            let time = |at: DateTime<Utc>| OffsetDateTime::from_unix_timestamp(at.timestamp()).expect("a time");
            (params.not_before, params.not_after) = (time(now - TimeDelta::days(1)), time(until));
            let pair = KeyPair::try_from(key).expect("a key");
            vec![params.self_signed(&pair).expect("a certificate").der().to_vec()]
        };
        let tomorrow = now + TimeDelta::days(1);
        let is_taken = |chain: &[Vec<u8>]| validity(chain, "a.example", &key, now).is_ok();
        let good = signed("a.example", &key, tomorrow);
        assert_eq!(
            validity(&good, "a.example", &key, now).expect("taken"),
            (now - TimeDelta::days(1), tomorrow)
        );
        assert!(!is_taken(&[]));
        assert!(!is_taken(&signed("b.example", &key, tomorrow)), "another name");
        assert!(!is_taken(&signed("a.example", &other, tomorrow)), "another key");
        assert!(!is_taken(&signed("a.example", &key, now)), "expired");
        assert!(!is_taken(&[good[0].clone(), b"garbage".to_vec()]), "a broken chain");
    }
}
