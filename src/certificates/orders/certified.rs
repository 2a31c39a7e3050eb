//! The key and the request of an order, and whether the certificate that came is the one that was asked for.
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use super::Stop;

/// The CA's clock and ours.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

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
    let mut signed_by = leaf.issuer().as_raw().to_vec();
    for issuer in &chain[1..] {
        let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| unusable("has a chain that can't be read"))?;
        // In order (RFC 8555 §9.1), or devices find no way to the root.
        if issuer.subject().as_raw() != signed_by {
            return Err(unusable("has a chain that is not in order"));
        }
        signed_by = issuer.issuer().as_raw().to_vec();
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
    if not_before > now + CLOCKS_DIFFER {
        return Err(unusable("is not valid yet"));
    }
    Ok((not_before, not_after))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, DnType, IsCa, Issuer};
    use time::OffsetDateTime;

    use super::*;

    const HOST: &str = "contoso.com";

    struct Authority {
        certificate: Vec<u8>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority(name: &str) -> Authority {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&pair).unwrap().der().to_vec();
        let issuer = Issuer::new(params, pair);
        Authority { certificate, issuer }
    }

    fn at(time: DateTime<Utc>) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(time.timestamp()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_not_what_was_ordered_is_not_kept() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (day, key) = (TimeDelta::days(1), new_key().unwrap());
        let (ours, others) = (authority("ours"), authority("others"));
        let sign = |names: &[&str], key: &[u8], from: DateTime<Utc>, until: DateTime<Utc>| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name = DistinguishedName::new();
            (params.not_before, params.not_after) = (at(from), at(until));
            let pair = KeyPair::try_from(key).unwrap();
            params.signed_by(&pair, &ours.issuer).unwrap().der().to_vec()
        };
        let good = || sign(&[HOST], &key, now - day, now + day * 90);
        let root = || ours.certificate.clone();
        let foreign = new_key().unwrap();
        for (name, chain, expected) in [
            ("right", vec![good(), root()], None),
            ("without its issuer", vec![good()], None),
            (
                "in capitals",
                vec![sign(&["Contoso.COM"], &key, now - day, now + day)],
                None,
            ),
            (
                "for others too",
                vec![sign(&["a.example", HOST], &key, now - day, now + day)],
                None,
            ),
            ("missing", vec![], Some("is missing")),
            ("unreadable", vec![b"MII".to_vec()], Some("can't be read")),
            (
                "unreadable issuer",
                vec![good(), b"MII".to_vec()],
                Some("chain that can't be read"),
            ),
            (
                "another's issuer",
                vec![good(), others.certificate.clone()],
                Some("not in order"),
            ),
            ("the wrong way round", vec![root(), good()], Some("not in order")),
            ("an authority's", vec![root()], Some("names no host")),
            (
                "another name",
                vec![sign(&["contoso.com.evil.example"], &key, now - day, now + day)],
                Some("is not for contoso.com"),
            ),
            (
                "a wildcard",
                vec![sign(&["*.com"], &key, now - day, now + day)],
                Some("is not for contoso.com"),
            ),
            (
                "another key",
                vec![sign(&[HOST], &foreign, now - day, now + day)],
                Some("is for another key"),
            ),
            (
                "over",
                vec![sign(&[HOST], &key, now - day * 2, now - day)],
                Some("has expired already"),
            ),
            (
                "not valid yet",
                vec![sign(&[HOST], &key, now + day, now + day * 2)],
                Some("is not valid yet"),
            ),
            (
                "backwards",
                vec![sign(&[HOST], &key, now + day * 3, now + day * 2)],
                Some("has expired already"),
            ),
        ] {
            match (validity(&chain, HOST, &key, now), expected) {
                (Ok(validity), None) => assert!(validity.0 < now && now < validity.1, "{name}"),
                (Err(Stop::Unusable(what)), Some(words)) => assert!(what.contains(words), "{name}: {what}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_request_names_the_host_in_its_san_and_nothing_else() {
        use x509_parser::{certification_request::X509CertificationRequest, extensions::ParsedExtension};
        let key = new_key().unwrap();
        let request = request(HOST, &key).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&request).unwrap();
        assert_eq!(request.certification_request_info.subject.iter().count(), 0);
        let names: Vec<_> = request
            .requested_extensions()
            .unwrap()
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(names, [GeneralName::DNSName(HOST)]);
    }
}
