//! CAA records (RFC 8659): whether they let our CA issue.
use url::Host;

use super::Expected;
use crate::dns::Caa;

/// Tags that a CA must understand; another one marked critical forbids (RFC 8659 §4.1, RFC 8657, RFC 9495).
const KNOWN_TAGS: [&str; 7] = [
    "issue",
    "issuewild",
    "iodef",
    "contactemail",
    "contactphone",
    "issuemail",
    "issuevmc",
];

/// Whether `authority` may issue for a name under the relevant record set `records`, to us.
pub(super) fn allows(records: &[Caa], authority: &str, expected: &Expected) -> bool {
    if unknown_but_critical(records).is_some() {
        return false;
    }
    let mut issues = records
        .iter()
        .filter(|record| record.tag.eq_ignore_ascii_case("issue"))
        .peekable();
    // Without `issue`, nothing is forbidden for a name that is no wildcard.
    issues.peek().is_none() || issues.any(|record| names(record, authority) && allows_us(record, expected))
}

fn names(record: &Caa, authority: &str) -> bool {
    let issuer = record.value.split(';').next().unwrap_or_default().trim();
    issuer.eq_ignore_ascii_case(authority)
}

/// RFC 8657: it may name the account and the ways of validation that are allowed.
fn allows_us(record: &Caa, expected: &Expected) -> bool {
    let parameters = record.value.split(';').skip(1).filter_map(|text| text.split_once('='));
    parameters.fold(true, |is_allowed, (name, value)| {
        let value = value.trim();
        is_allowed
            && match &*name.trim().to_ascii_lowercase() {
                "validationmethods" => value
                    .split(',')
                    .any(|method| method.trim() == expected.validation_method),
                // Not known before it is registered: then there is nothing to compare.
                "accounturi" => expected.account_url.as_deref().is_none_or(|ours| ours == value),
                _ => true,
            }
    })
}

/// A record that names our CA, and keeps it from issuing to us: other accounts, or other ways of validation.
pub(super) fn excludes_us<'a>(records: &'a [Caa], authority: &str) -> Option<&'a Caa> {
    records
        .iter()
        .find(|record| record.tag.eq_ignore_ascii_case("issue") && names(record, authority))
}

/// A record that forbids every CA, whatever stands beside it.
pub(super) fn unknown_but_critical(records: &[Caa]) -> Option<&Caa> {
    let is_unknown = |record: &&Caa| record.critical && !KNOWN_TAGS.contains(&&*record.tag.to_ascii_lowercase());
    records.iter().find(is_unknown)
}

/// A record as a zone file has it.
pub(super) fn text(record: &Caa) -> String {
    let flags = if record.critical { 128 } else { 0 };
    format!("{flags} {} \"{}\"", record.tag, record.value)
}

/// The name by which CAA records know the CA behind an ACME directory, as each CA publishes it. For
/// a CA that is not in the table: the directory's registrable domain. `None` for an address or a
/// single label: a private CA, that looks at no such record.
#[must_use]
pub fn authority_of(directory: &url::Url) -> Option<String> {
    let Some(Host::Domain(host)) = directory.host() else {
        return None;
    };
    let host = host.trim_end_matches('.');
    let registrable = host.contains('.').then(|| psl::domain_str(host)).flatten()?;
    let authority = match registrable {
        "zerossl.com" => "sectigo.com",
        other => other,
    };
    Some(authority.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_set_allows_whom_it_names_or_everybody_if_it_names_nobody() {
        let record = |text: &str| {
            let mut parts = text.splitn(3, ' ');
            let mut next = || parts.next().unwrap_or_default().to_owned();
            Caa {
                name: "contoso.com".into(),
                critical: next() == "128",
                tag: next(),
                value: next(),
            }
        };
        let ours = Expected {
            account_url: Some("https://ca.example/acct/1".into()),
            ..crate::domains::status::tests::expected()
        };
        for (records, expected) in [
            (&[][..], true),
            (&["0 issue letsencrypt.org"], true),
            (&["0 issue LetsEncrypt.org"], true),
            (&["0 issue digicert.com"], false),
            (&["0 issue digicert.com", "0 issue letsencrypt.org"], true),
            (&["0 issue letsencrypt.org; validationmethods=http-01"], true),
            (&["0 issue letsencrypt.org;ValidationMethods = dns-01 , http-01 "], true),
            (&["0 issue letsencrypt.org; validationmethods=dns-01"], false),
            (
                &[
                    "0 issue letsencrypt.org; validationmethods=dns-01",
                    "0 issue letsencrypt.org",
                ],
                true,
            ),
            (&["0 issue letsencrypt.org; accounturi=https://ca.example/acct/1"], true),
            (
                &["0 issue letsencrypt.org; accounturi=https://ca.example/acct/2"],
                false,
            ),
            (&["0 issue letsencrypt.org; priority=1; nonsense"], true),
            (&["0 issue ;"], false),
            (&["0 issue "], false),
            (&["0 issuewild digicert.com"], true),
            (&["0 iodef mailto:security@contoso.com"], true),
            (&["128 ISSUE letsencrypt.org"], true),
            (&["128 future x", "0 issue letsencrypt.org"], false),
            (&["0 future x", "0 issue letsencrypt.org"], true),
            (&["0 issue letsencrypt.org.evil.example"], false),
        ] {
            let set: Vec<_> = records.iter().map(|text| record(text)).collect();
            assert_eq!(allows(&set, "letsencrypt.org", &ours), expected, "{records:?}");
        }
    }

    #[test]
    fn a_ca_is_known_by_its_directory() {
        for (directory, expected) in [
            (
                "https://acme-v02.api.letsencrypt.org/directory",
                Some("letsencrypt.org"),
            ),
            ("https://acme.zerossl.com/v2/DV90", Some("sectigo.com")),
            ("https://dv.acme-v02.api.pki.goog/directory", Some("pki.goog")),
            ("https://localhost:14000/dir", None),
            ("https://127.0.0.1:14000/dir", None),
            ("https://pebble:14000/dir", None),
        ] {
            let directory = url::Url::parse(directory).expect("a URL");
            assert_eq!(authority_of(&directory).as_deref(), expected, "{directory}");
        }
    }
}
