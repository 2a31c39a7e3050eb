//! Signs certificates: a root and an intermediate authority below it.
use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;
use uuid::Uuid;

pub struct Authority {
    intermediate: Issuer<'static, KeyPair>,
    intermediate_pem: String,
    pub root_pem: String,
}

pub struct Signed {
    pub leaf: Vec<u8>,
    /// With the intermediate certificate.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("Fake Root");
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let params = authority("Fake Intermediate");
        let intermediate = params.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        Self {
            intermediate_pem: intermediate.pem(),
            intermediate: Issuer::new(params, key),
            root_pem,
        }
    }

    /// Signs what the CSR asks for, if that is a certificate for `hostname` and nothing else.
    pub fn sign(&self, csr: &[u8], hostname: &str, life: (DateTime<Utc>, DateTime<Utc>)) -> Result<Signed, String> {
        let mut csr = CertificateSigningRequestParams::from_der(&csr.into()).map_err(|error| error.to_string())?;
        let asked = &csr.params.subject_alt_names;
        if !matches!(asked.as_slice(), [SanType::DnsName(name)] if name.as_str() == hostname) {
            return Err(format!("the CSR is for {asked:?}"));
        }
        let params = &mut csr.params;
        (params.not_before, params.not_after) = (instant(life.0), instant(life.1));
        // Its first bit is set, so that its encoding begins with a zero.
        let serial = [&[0x80][..], Uuid::now_v7().as_bytes()].concat();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = csr.signed_by(&self.intermediate).map_err(|error| error.to_string())?;
        Ok(Signed {
            leaf: leaf.der().to_vec(),
            pem: leaf.pem() + &self.intermediate_pem,
        })
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn instant(at: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.timestamp()).unwrap()
}
