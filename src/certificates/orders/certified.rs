//! The key and the request of an order, and whether the certificate that came is the one that was asked for.
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use super::Stop;

/// The most that a CA's clock may be ahead of ours.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);

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
    // It would take the place of one that works. Clocks differ by less.
    if not_before > now + CLOCKS_DIFFER {
        return Err(unusable("is not valid yet"));
    }
    Ok((not_before, not_after))
}

#[cfg(test)]
mod tests {
    use rcgen::SanType;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("an instant")
    }

    /// Of `name`, for a key, from so many hours before now to so many after it.
    fn leaf(name: &str, key: &[u8], (from, to): (i64, i64)) -> Vec<u8> {
        let instant = |hours| {
            let at = (now() + TimeDelta::hours(hours)).timestamp();
            time::OffsetDateTime::from_unix_timestamp(at).expect("an instant")
        };
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
        (params.not_before, params.not_after) = (instant(from), instant(to));
        let pair = KeyPair::try_from(key).expect("a key");
        params.self_signed(&pair).expect("a certificate").der().to_vec()
    }

    #[test]
    fn a_certificate_that_devices_would_refuse_never_takes_the_place_of_another() {
        let (ours, other) = (new_key().expect("a key"), new_key().expect("a key"));
        let certificate = |name, key, life| vec![leaf(name, key, life)];
        for (case, chain, expected) in [
            ("as ordered", certificate("a.test", &ours, (-1, 24)), None),
            ("in capitals", certificate("A.test", &ours, (-1, 24)), None),
            ("clocks differ", certificate("a.test", &ours, (1, 24)), None),
            (
                "another name",
                certificate("b.test", &ours, (-1, 24)),
                Some("is not for a.test"),
            ),
            (
                "another key",
                certificate("a.test", &other, (-1, 24)),
                Some("is for another key"),
            ),
            (
                "over",
                certificate("a.test", &ours, (-24, 0)),
                Some("has expired already"),
            ),
            (
                "to come",
                certificate("a.test", &ours, (2, 24)),
                Some("is not valid yet"),
            ),
            (
                "upside down",
                certificate("a.test", &ours, (24, 12)),
                Some("has expired already"),
            ),
            ("nothing", Vec::new(), Some("is missing")),
            ("noise", vec![vec![0x30, 0x80]], Some("can't be read")),
        ] {
            let told = validity(&chain, "a.test", &ours, now())
                .err()
                .map(|stop| stop.to_string());
            let expected = expected.map(|what| format!("The CA's certificate {what}."));
            assert_eq!(told, expected, "{case}");
        }
    }
}
