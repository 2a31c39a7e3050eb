//! A server's certificates: what they say, and everything that is wrong with them. Pure: certificates, name, roots
//! and time in, facts out. What is said about it to people is in `certificate`.
use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};
use rustls::{CertificateError, pki_types::CertificateDer};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    public_key::PublicKey,
    time::ASN1Time,
    x509::X509Name,
};

use super::trust::Trust;

/// A chain longer than this is nobody's.
const MAX_CHAIN: usize = 16;
const MIN_RSA_BITS: usize = 2048;
const MIN_EC_BITS: usize = 256;

/// `1.3.6.1.5.5.7.48.2`: where the issuer's certificate lies.
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

pub struct Verdict {
    pub leaf: Leaf,
    /// The weightiest first: what the others follow from.
    pub flaws: Vec<Flaw>,
}

/// What the server's own certificate says of itself.
#[derive(Debug, Default)]
pub struct Leaf {
    /// Subject alternative names: host names and addresses.
    pub names: Vec<String>,
    pub common_name: Option<String>,
    pub issuer: String,
    pub not_after: DateTime<Utc>,
}

/// In the order of weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    Unreadable,
    SelfSigned,
    OtherName,
    NoPath(Missing),
    /// `of` is another certificate of the chain, by its subject.
    Expired {
        at: DateTime<Utc>,
        of: Option<String>,
    },
    NotYetValid {
        from: DateTime<Utc>,
        of: Option<String>,
    },
    /// What is weak, and whose it is.
    Weak(String),
    /// For another reason, in the verifier's words.
    Unverified(String),
}

/// Where the chain ends that the server sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Who issued the last certificate.
    pub issuer: String,
    /// Whether that is itself: then its root is not one that is believed.
    pub ends_in_root: bool,
    /// Whether a root of this name is believed, and has not signed it.
    pub is_namesake: bool,
    /// How many certificates were sent.
    pub sent: usize,
    /// Where the last certificate says that its issuer's lies.
    pub issuer_url: Option<String>,
}

/// Everything that is wrong with `chain`, as sent by the server that is `name`.
pub fn judge(trust: &Trust, chain: &[CertificateDer<'_>], name: &str, now: DateTime<Utc>) -> Verdict {
    let chain = &chain[..chain.len().min(MAX_CHAIN)];
    let parsed: Vec<_> = chain.iter().map_while(|der| parse(der)).collect();
    let (Some(first), Some(leaf)) = (chain.first(), parsed.first()) else {
        return Verdict {
            leaf: Leaf::default(),
            flaws: vec![Flaw::Unreadable],
        };
    };
    let mut flaws = Vec::new();
    if Trust::verify_name(first, name).is_err() {
        flaws.push(Flaw::OtherName);
    }
    flaws.extend(out_of_date(&parsed, now));
    flaws.extend(
        parsed
            .iter()
            .filter(|one| !is_self_issued(one))
            .find_map(weakness)
            .map(Flaw::Weak),
    );
    if let Some(error) = path_error(trust, chain, leaf, now) {
        let is_explained = |flaw: &Flaw| match flaw {
            Flaw::Weak(_) => is_about_algorithms(&error),
            Flaw::Expired { .. } | Flaw::NotYetValid { .. } => is_about_time(&error),
            _ => false,
        };
        match error {
            _ if is_self_issued(leaf) => flaws.push(Flaw::SelfSigned),
            CertificateError::UnknownIssuer => flaws.push(Flaw::NoPath(missing(&parsed, false))),
            _ if flaws.iter().any(is_explained) => {}
            CertificateError::BadSignature => flaws.push(Flaw::NoPath(missing(&parsed, true))),
            error => flaws.push(Flaw::Unverified(error.to_string())),
        }
    } else {
        // An old cross-signature that nobody needs, sent along.
        flaws.retain(|flaw| {
            !matches!(
                flaw,
                Flaw::Expired { of: Some(_), .. } | Flaw::NotYetValid { of: Some(_), .. }
            )
        });
    }
    flaws.sort();
    Verdict {
        leaf: Leaf::of(leaf),
        flaws,
    }
}

/// Why there is no path, apart from the dates of the leaf, which are looked at by themselves.
fn path_error(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    leaf: &X509Certificate<'_>,
    now: DateTime<Utc>,
) -> Option<CertificateError> {
    let validity = leaf.validity();
    let (from, to) = (time(&validity.not_before), time(&validity.not_after));
    let within = now.max(from).min(to - Duration::seconds(1));
    let error = trust.verify_path(chain, within).err()?;
    // At another time than now the dates of the others tell nothing.
    (within == now || !is_about_time(&error)).then_some(error)
}

fn is_about_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn is_about_algorithms(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

/// The first certificate whose dates are not now's.
fn out_of_date(chain: &[X509Certificate<'_>], now: DateTime<Utc>) -> Option<Flaw> {
    chain.iter().enumerate().find_map(|(index, one)| {
        let of = (index > 0).then(|| name_of(one.subject()));
        let (from, at) = (time(&one.validity().not_before), time(&one.validity().not_after));
        match () {
            () if at < now => Some(Flaw::Expired { at, of }),
            () if from > now => Some(Flaw::NotYetValid { from, of }),
            () => None,
        }
    })
}

fn weakness(one: &X509Certificate<'_>) -> Option<String> {
    let whose = name_of(one.subject());
    let signature = one.signature_algorithm.algorithm.to_id_string();
    let digest = match signature.as_str() {
        "1.2.840.113549.1.1.2" | "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        _ => None,
    };
    match (one.public_key().parsed(), digest) {
        (_, Some(digest)) => Some(format!("the certificate of {whose} is signed with {digest}")),
        (Ok(PublicKey::RSA(key)), None) => {
            let bits = bits(key.modulus);
            (bits < MIN_RSA_BITS).then(|| format!("the RSA key of {whose} has {bits} bits"))
        }
        (Ok(PublicKey::EC(point)), None) => {
            let bits = point.key_size();
            (bits < MIN_EC_BITS).then(|| format!("the elliptic curve key of {whose} has {bits} bits"))
        }
        (Ok(PublicKey::DSA(_)), None) => Some(format!("the key of {whose} is a DSA key")),
        _ => None,
    }
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.split_at(zeros).1;
    let leading = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    8 * number.len() - leading
}

/// Climbs from issuer to issuer through what was sent, in whatever order.
fn missing(chain: &[X509Certificate<'_>], is_namesake: bool) -> Missing {
    let mut seen = HashSet::new();
    let mut last = &chain[0];
    while !is_self_issued(last) && seen.insert(last.subject().as_raw()) {
        let issued = |one: &&X509Certificate<'_>| one.subject().as_raw() == last.issuer().as_raw();
        match chain.iter().find(issued) {
            Some(issuer) if !seen.contains(issuer.subject().as_raw()) => last = issuer,
            _ => break,
        }
    }
    Missing {
        issuer: name_of(last.issuer()),
        ends_in_root: is_self_issued(last),
        is_namesake,
        sent: chain.len(),
        issuer_url: issuer_url(last),
    }
}

fn issuer_url(one: &X509Certificate<'_>) -> Option<String> {
    one.extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => access.iter().find_map(|description| {
                match (&description.access_location, description.access_method.to_id_string()) {
                    (GeneralName::URI(url), method) if method == CA_ISSUERS => Some((*url).to_owned()),
                    _ => None,
                }
            }),
            _ => None,
        })
}

fn is_self_issued(one: &X509Certificate<'_>) -> bool {
    one.subject().as_raw() == one.issuer().as_raw()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    x509_parser::parse_x509_certificate(der).ok().map(|(_, parsed)| parsed)
}

fn time(at: &ASN1Time) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or_default()
}

/// As people know an issuer: `R11 (Let's Encrypt)`.
fn name_of(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|part| part.as_str().ok());
    let organisation = name.iter_organization().find_map(|part| part.as_str().ok());
    match (common, organisation) {
        (Some(common), Some(organisation)) if !common.contains(organisation) => format!("{common} ({organisation})"),
        (Some(one), _) | (None, Some(one)) => one.to_owned(),
        (None, None) => match name.to_string() {
            empty if empty.is_empty() => "a name that is empty".to_owned(),
            other => other,
        },
    }
}

impl Leaf {
    fn of(leaf: &X509Certificate<'_>) -> Self {
        let names = leaf.subject_alternative_name().ok().flatten();
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        };
        let common_name = leaf.subject().iter_common_name().find_map(|part| part.as_str().ok());
        Self {
            names: names.map_or(Vec::new(), |names| {
                names.value.general_names.iter().filter_map(name).collect()
            }),
            common_name: common_name.map(str::to_owned),
            issuer: name_of(leaf.issuer()),
            not_after: time(&leaf.validity().not_after),
        }
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
    v4.or(v6).ok()
}
