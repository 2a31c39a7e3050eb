//! Certificates of a test's own authority: good ones, and each kind of bad one.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

use chrono::Duration;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::process::TestDir;

/// What a server shows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Its certificate and the intermediate one.
    Good,
    Expired,
    NotYetValid,
    /// Without its intermediate certificate.
    LeafAlone,
    SelfSigned,
    /// Whole, under a root that nobody was told to trust.
    OfAStranger,
    ExpiredOfAStranger,
    /// Its intermediate certificate has expired.
    ExpiredIntermediate,
    /// The name only where names stood before 2000.
    CommonNameOnly,
    /// Not for servers.
    ForClients,
    /// With an RSA key of 1024 bits.
    Weak,
}

/// A root with an intermediate authority below it, which signs the servers' certificates.
pub struct Pki {
    dir: TestDir,
    ours: Authority,
    stranger: Authority,
    outdated: Authority,
}

/// A server's certificates and key, as files.
pub struct Files {
    pub chain: PathBuf,
    pub key: PathBuf,
}

struct Authority {
    intermediate: Issuer<'static, KeyPair>,
    intermediate_pem: String,
}

impl Pki {
    pub fn new() -> Self {
        let dir = TestDir::new();
        let root = Root::new("Bench");
        dir.write("root.pem", &root.pem);
        Self {
            dir,
            ours: root.intermediate("Bench Intermediate", 400),
            outdated: root.intermediate("Outdated Intermediate", -10),
            stranger: Root::new("Stranger's").intermediate("Stranger's Intermediate", 400),
        }
    }

    /// What `--cacert` takes.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    pub fn issue(&self, names: &[impl AsRef<str>], kind: Kind) -> Files {
        let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
        self.sign(leaf(&names, kind), names[0], kind)
    }

    /// A certificate without its intermediate one, which says that it lies at `url`, as those of public authorities do.
    pub fn issue_alone(&self, name: &str, url: &str) -> Files {
        let mut params = leaf(&[name], Kind::LeafAlone);
        params.custom_extensions.push(issuer_lies_at(url));
        self.sign(params, name, Kind::LeafAlone)
    }

    /// The intermediate certificate, as authorities publish it.
    pub fn intermediate(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.ours.intermediate_pem.as_bytes())
            .unwrap()
            .to_vec()
    }

    fn sign(&self, params: CertificateParams, name: &str, kind: Kind) -> Files {
        let authority = match kind {
            Kind::OfAStranger | Kind::ExpiredOfAStranger => &self.stranger,
            Kind::ExpiredIntermediate => &self.outdated,
            _ => &self.ours,
        };
        let file = |ending: &str, content: &str| self.dir.write(&format!("{name}-{kind:?}.{ending}"), content);
        if let Kind::Weak = kind {
            let (key, public) = rsa_1024(self.dir.path());
            let leaf = params.signed_by(&public, &authority.intermediate).unwrap().pem();
            return Files {
                chain: file("pem", &[&leaf, authority.intermediate_pem.as_str()].concat()),
                key,
            };
        }
        let key = KeyPair::generate().unwrap();
        let signed = match kind {
            Kind::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &authority.intermediate),
        };
        let leaf = signed.unwrap().pem();
        let chain = match kind {
            Kind::SelfSigned | Kind::LeafAlone => leaf,
            _ => leaf + &authority.intermediate_pem,
        };
        Files {
            chain: file("pem", &chain),
            key: file("key", &key.serialize_pem()),
        }
    }
}

struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Root {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority(&format!("{name} Root"), 400);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn intermediate(&self, name: &str, ends_in_days: i64) -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority(name, ends_in_days);
        let intermediate_pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority {
            intermediate: Issuer::new(params, key),
            intermediate_pem,
        }
    }
}

fn authority(name: &str, ends_in_days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (in_days(-400), in_days(ends_in_days));
    params.use_authority_key_identifier_extension = true;
    params
}

fn leaf(names: &[&str], kind: Kind) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names[0]);
    (params.not_before, params.not_after) = match kind {
        Kind::Expired | Kind::ExpiredOfAStranger => (in_days(-100), in_days(-10)),
        Kind::NotYetValid => (in_days(10), in_days(100)),
        _ => (in_days(-1), in_days(89)),
    };
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match kind {
        Kind::ForClients => ExtendedKeyUsagePurpose::ClientAuth,
        _ => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    if let Kind::CommonNameOnly = kind {
        params.subject_alt_names.clear();
    }
    params.use_authority_key_identifier_extension = true;
    params
}

/// Authority Information Access with `caIssuers` (RFC 5280 §4.2.2.1).
fn issuer_lies_at(url: &str) -> CustomExtension {
    let tagged = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128, "{url}");
        [&[tag, length], content].concat()
    };
    let method = tagged(0x06, &[0x2b, 6, 1, 5, 5, 7, 0x30, 2]);
    let location = tagged(0x86, url.as_bytes());
    let access = tagged(0x30, &tagged(0x30, &[method, location].concat()));
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access)
}

/// As a certificate and people tell it: `2026-11-13`.
pub fn day_in(days: i64) -> String {
    (crate::clock::now() + Duration::days(days))
        .format("%Y-%m-%d")
        .to_string()
}

fn in_days(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp((crate::clock::now() + Duration::days(days)).timestamp()).unwrap()
}

/// Our own libraries make no key as weak as that.
fn rsa_1024(dir: &Path) -> (PathBuf, SubjectPublicKeyInfo) {
    let key = dir.join("rsa-1024.key");
    let openssl = |arguments: &[&str]| {
        let ended = Command::new("openssl").args(arguments).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    };
    let path = key.to_str().unwrap();
    openssl(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
        "-out",
        path,
    ]);
    let public = openssl(&["pkey", "-in", path, "-pubout"]);
    (key, SubjectPublicKeyInfo::from_pem(&public).unwrap())
}
