//! What is told of a server's certificates.
use chrono::{DateTime, Duration, Utc};

use super::{
    chain::{Flaw, Leaf, Missing, Verdict},
    report::{Code, Fault},
    text::{listed, quoted},
};

/// Names shown of a certificate that may hold hundreds.
const SHOWN_NAMES: usize = 6;
/// A certificate that is renewed by a program is renewed well before.
const SOON: Duration = Duration::days(7);

/// Whether the certificate that the server leaves out was fetched from where its chain says that it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// And with it the chain is whole.
    CompletesChain,
    /// And it leads to no root that is believed.
    LeadsNowhere,
    /// It could not be fetched, or nobody tried.
    No,
}

/// The weightiest flaw, the others named behind it.
pub fn fault(verdict: &Verdict, name: &str, fetched: Fetched) -> Option<Fault> {
    let (first, others) = verdict.flaws.split_first()?;
    let leaf = &verdict.leaf;
    let fault = match first {
        Flaw::Unreadable => Fault::new(Code::Undetermined, "The server's certificate can't be read.")
            .expected(format!("A certificate of a public authority for {name}."))
            .remedy("Whoever runs the web server installs a new certificate."),
        Flaw::SelfSigned => self_signed(leaf, name),
        Flaw::OtherName => other_name(leaf, name),
        Flaw::NoPath(missing) => no_path(missing, name, fetched),
        Flaw::Expired { at, of } => expired(leaf, *at, of.as_deref()),
        Flaw::NotYetValid { from, of } => not_yet_valid(*from, of.as_deref()),
        Flaw::Weak(what) => weak(what),
        Flaw::Unverified(why) => Fault::new(
            Code::Undetermined,
            format!("The certificate is not valid: {}.", readable(why)),
        )
        .expected(format!("A certificate of a public authority for {name}."))
        .remedy("Whoever runs the web server installs a new certificate, with its whole chain."),
    };
    let others: Vec<_> = others.iter().map(|flaw| briefly(flaw, leaf)).collect();
    Some(match others.as_slice() {
        [] => fault,
        others => fault.adding(&format!("Besides, {}.", others.join(", and "))),
    })
}

/// What a verifier has no words for.
fn readable(why: &str) -> String {
    const WORDS: [(&str, &str); 4] = [
        (
            "CaUsedAsEndEntity",
            "it is the certificate of an authority (CA:TRUE), not of a server",
        ),
        (
            "EndEntityUsedAsCa",
            "it was issued by a certificate that is no authority's (CA:FALSE)",
        ),
        (
            "PathLenConstraintViolated",
            "its chain is longer than one of its authorities allows",
        ),
        (
            "NameConstraintViolation",
            "one of its authorities may not issue for this name",
        ),
    ];
    let known = WORDS.iter().find(|(error, _)| why.contains(error));
    known.map_or_else(|| quoted(why), |(_, words)| (*words).to_owned())
}

/// What is said of a certificate that is well.
pub fn fine(leaf: &Leaf, now: DateTime<Utc>) -> String {
    let left = leaf.not_after - now;
    let warning = match left < SOON {
        true => " Renew it now: nothing has renewed it in time.",
        false => "",
    };
    format!(
        "Certificate for {}, issued by {}, valid until {} ({} days).{warning}",
        names(leaf),
        quoted(&leaf.issuer),
        day(leaf.not_after),
        left.num_days()
    )
}

fn self_signed(leaf: &Leaf, name: &str) -> Fault {
    Fault::new(
        Code::CertificateSelfSigned,
        format!(
            "The certificate is signed by itself, not by an authority. It names {}.",
            names(leaf)
        ),
    )
    .expected(format!("A certificate of a public authority for {name}."))
    .remedy(format!(
        "Whoever runs the web server gets a certificate for {name} from a public authority (free from Let's Encrypt, \
         for example with certbot or in the hosting panel) and installs it. This one is often the one that a server \
         comes with: then the site for {name} is not set up for https yet."
    ))
}

fn other_name(leaf: &Leaf, name: &str) -> Fault {
    let has = match (leaf.names.as_slice(), &leaf.common_name) {
        ([], Some(common)) => format!(
            "It has no subject alternative names, only the common name {}, which devices ignore.",
            quoted(common)
        ),
        ([], None) => "It has no names at all.".to_owned(),
        _ => format!("It is for {}.", names(leaf)),
    };
    Fault::new(
        Code::CertificateOtherName,
        format!("The certificate is not for {name}. {has}"),
    )
    .expected(format!("A certificate with the subject alternative name {name}."))
    .remedy(format!(
        "Whoever runs the web server adds {name} to the certificate, or sets up the site for {name} with its own \
             one. If that is not the server that should answer, correct the DNS records instead."
    ))
}

fn no_path(missing: &Missing, name: &str, fetched: Fetched) -> Fault {
    let issuer = quoted(&missing.issuer);
    let incomplete = |how_known: &str| {
        let sent = match missing.sent {
            1 => "the leaf without its intermediate".to_owned(),
            count => format!("{count} certificates, and not the next"),
        };
        Fault::new(
            Code::CertificateChainIncomplete,
            format!("The server sends {sent}: the certificate of {issuer} is missing. {how_known}"),
        )
        .expected("The whole chain but for the root.")
        .remedy(
            "Whoever runs the web server installs the chain beside the certificate: in nginx `ssl_certificate` names \
             fullchain.pem, in Apache `SSLCertificateFile` does, in IIS the intermediate goes into the store of \
             intermediate authorities.",
        )
        .devices("All devices that do not fetch the missing certificate themselves. None is promised to.")
    };
    match (fetched, &missing.issuer_url) {
        (Fetched::CompletesChain, _) => incomplete("With it, fetched from where the chain says, all is well."),
        (Fetched::No, Some(_)) if !missing.ends_in_root && !missing.is_namesake => {
            incomplete("It could not be fetched from here to make sure that it leads to a public authority.")
        }
        _ => unknown_issuer(missing, &issuer, name),
    }
}

fn unknown_issuer(missing: &Missing, issuer: &str, name: &str) -> Fault {
    let (why, or) = match missing {
        Missing { is_namesake: true, .. } => (
            format!(
                "It says that {issuer} issued it; there is a trusted authority of that name, but another has signed"
            ),
            "",
        ),
        Missing { ends_in_root: true, .. } => (
            format!("Its chain ends in the root {issuer}, which is no public authority"),
            "",
        ),
        _ => (
            format!(
                "It is issued by {issuer}, which is no root that devices trust, and whose certificate was not sent"
            ),
            " If the issuer is an intermediate of a public one, the server only leaves it out: install the whole chain.",
        ),
    };
    Fault::new(
        Code::CertificateUnknownIssuer,
        format!("The certificate can't be traced to an authority that devices trust. {why}."),
    )
    .expected(format!("A certificate of a public authority for {name}."))
    .remedy(format!(
        "Whoever runs the web server gets a certificate from a public authority, for example Let's Encrypt. A private \
         authority is trusted only by devices that are managed already.{or}"
    ))
}

fn expired(leaf: &Leaf, at: DateTime<Utc>, of: Option<&str>) -> Fault {
    let (what, remedy) = match of {
        None => (
            format!("The certificate expired on {}. It is for {}", moment(at), names(leaf)),
            "Whoever runs the web server renews the certificate, and makes sure that it is renewed by itself and that \
             the server loads it afterwards."
                .to_owned(),
        ),
        Some(of) => (
            format!("A certificate of the chain, {}, expired on {}", quoted(of), moment(at)),
            "Whoever runs the web server installs the issuer's present chain beside the certificate.".to_owned(),
        ),
    };
    Fault::new(Code::CertificateExpired, format!("{what}."))
        .expected("A certificate that is valid now.")
        .remedy(remedy)
}

fn not_yet_valid(from: DateTime<Utc>, of: Option<&str>) -> Fault {
    let what = of.map_or_else(
        || "The certificate".to_owned(),
        |of| format!("A certificate of the chain, {},", quoted(of)),
    );
    Fault::new(
        Code::CertificateNotYetValid,
        format!("{what} is not valid before {}.", moment(from)),
    )
    .expected("A certificate that is valid now.")
    .remedy("Whoever runs the web server installs a certificate that is valid now, and sets the clock of the machine that made this one.")
}

fn weak(what: &str) -> Fault {
    Fault::new(
        Code::CertificateWeak,
        format!("The certificate is too weak: {}.", quoted(what)),
    )
    .expected("RSA with 2048 bits or more, or an elliptic curve with 256 or more; signed with SHA-256 or better.")
    .remedy("Whoever runs the web server makes a new key and gets a new certificate.")
}

fn briefly(flaw: &Flaw, leaf: &Leaf) -> String {
    match flaw {
        Flaw::Unreadable => "it can't be read".to_owned(),
        Flaw::SelfSigned => "it is signed by itself".to_owned(),
        Flaw::OtherName => format!("it is for another name ({})", names(leaf)),
        Flaw::NoPath(missing) => format!("its issuer, {}, is not trusted", quoted(&missing.issuer)),
        Flaw::Expired { at, .. } => format!("it expired on {}", moment(*at)),
        Flaw::NotYetValid { from, .. } => format!("it is not valid before {}", moment(*from)),
        Flaw::Weak(what) => quoted(what),
        Flaw::Unverified(why) => format!("it is not valid ({})", quoted(why)),
    }
}

/// The names that count; the common name where there are none.
fn names(leaf: &Leaf) -> String {
    match (leaf.names.as_slice(), &leaf.common_name) {
        ([], Some(common)) => format!("the common name {}", quoted(common)),
        ([], None) => "no name".to_owned(),
        (names, _) => listed(names, SHOWN_NAMES),
    }
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_verifier_has_no_words_for_is_said_in_words() {
        assert!(readable("Other(OtherError(CaUsedAsEndEntity))").contains("of an authority"));
        assert_eq!(readable("something else"), "something else");
    }
}
