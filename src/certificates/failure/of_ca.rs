//! From what a CA answered (RFC 8555 §6.7) to what is so, whose trouble it is, and what is to be done.
use chrono::{DateTime, Utc};

use super::{CaWords, Code, Culprit, Failure, LONGEST_KIND, LONGEST_WORDS, pre_flight::minute, shown};
use crate::certificates::{
    acme::{CaError, Problem},
    decisions::budget::registered_domain,
};

const GO_ON: &str = "There is nothing for you to do: we go on trying.";

/// What the CA was asked when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// About the account, or the directory.
    Account,
    /// For a new order.
    NewOrder { replaces: bool },
    /// About an order that stands: its authorizations, challenges, certificate.
    Order,
}

/// What `error` means for the certificate of `hostname`.
#[must_use]
pub fn of(error: &CaError, hostname: &str, during: During, at: DateTime<Utc>) -> (Failure, Culprit) {
    let (code, problem) = match error {
        CaError::Unreachable(_) => (Code::CaUnreachable, None),
        CaError::Timeout => (Code::CaTimeout, None),
        CaError::Malformed(_) => (Code::CaUnreadable, None),
        CaError::NotOffered(_) => (Code::NotOffered, None),
        CaError::Unasked(_) => (Code::Internal, None),
        CaError::Refused(problem) => (code_of(problem, hostname, during), Some(decisive(problem))),
    };
    let why = match error {
        CaError::Unreachable(why) | CaError::Malformed(why) => shown(why, LONGEST_WORDS),
        CaError::NotOffered(what) | CaError::Unasked(what) => shown(what, LONGEST_WORDS),
        CaError::Timeout | CaError::Refused(_) => String::new(),
    };
    let (message, remedy) = words(code, hostname, &why);
    let until = retry_at(error).filter(|until| *until > at);
    let message = match until {
        Some(until) => format!("{message} It asks us to wait until {}.", minute(until)),
        None => message,
    };
    let failure = Failure {
        ca: problem.map(|problem| CaWords {
            kind: shown(&problem.kind, LONGEST_KIND),
            detail: shown(&problem.detail, LONGEST_WORDS),
        }),
        is_theirs: culprit(code) == Culprit::Name,
        ..Failure::new(code, message, remedy, at)
    };
    (failure, culprit(code))
}

/// When the CA may be asked again, as it says itself.
#[must_use]
pub fn retry_at(error: &CaError) -> Option<DateTime<Utc>> {
    match error {
        CaError::Refused(problem) => problem
            .subproblems
            .iter()
            .map(|subproblem| subproblem.retry_at)
            .fold(problem.retry_at, Ord::max),
        CaError::Unreachable(_)
        | CaError::Timeout
        | CaError::Malformed(_)
        | CaError::NotOffered(_)
        | CaError::Unasked(_) => None,
    }
}

/// An order for one name has one trouble: where the CA lists several, the first.
fn decisive(problem: &Problem) -> &Problem {
    match problem.subproblems.first() {
        Some(first) if matches!(problem.kind.as_str(), "compound" | "") && !first.kind.is_empty() => first,
        _ => problem,
    }
}

fn code_of(problem: &Problem, hostname: &str, during: During) -> Code {
    let decisive = decisive(problem);
    match (decisive.kind.as_str(), problem.status, during) {
        ("unauthorized" | "incorrectResponse", 0, _) | ("incorrectResponse", ..) => Code::CaSawOtherAnswer,
        ("connection", ..) => Code::CaCouldNotConnect,
        ("dns", ..) => Code::CaCouldNotResolve,
        ("tls", ..) => Code::CaTlsFailed,
        ("caa", ..) => Code::CaaForbids,
        ("rejectedIdentifier" | "unsupportedIdentifier", ..) => Code::NameRefused,
        ("rateLimited", ..) => rate_limited(problem, hostname),
        ("serverInternal" | "badNonce", ..) | (_, 500.., _) => Code::CaError,
        (_, 429, _) => Code::CaRateLimited,
        ("accountDoesNotExist", ..) => Code::AccountUnknown,
        ("externalAccountRequired", ..) => Code::ExternalAccountRequired,
        ("userActionRequired", ..) => Code::TermsChanged,
        ("invalidContact" | "unsupportedContact", ..) => Code::ContactRefused,
        ("badCSR" | "badPublicKey" | "badSignatureAlgorithm", ..) => Code::RequestRefused,
        ("invalidProfile", ..) => Code::ProfileRefused,
        ("orderNotReady", ..) => Code::OrderLost,
        ("alreadyReplaced", ..) => Code::ReplacementRefused,
        // A CA that dislikes the certificate named says so in several ways; without it the order may well do.
        ("malformed" | "unauthorized" | "conflict", _, During::NewOrder { replaces: true })
        | (_, 404 | 409, During::NewOrder { replaces: true }) => Code::ReplacementRefused,
        // Found within an order, an authorization or a challenge: the name was looked at.
        (_, 0, _) => Code::ValidationFailed,
        // A deactivated account (RFC 8555 §7.3.6). Of an order: its authorizations are gone.
        ("unauthorized", _, During::Account | During::NewOrder { .. }) => Code::AccountRefused,
        ("malformed" | "unauthorized", _, During::Order) | (_, 404, During::Order) => Code::OrderLost,
        ("malformed", _, During::NewOrder { .. }) if names(problem, hostname) => Code::NameRefused,
        // There is no such address: the directory moved, or is another's.
        (_, 404, During::Account | During::NewOrder { .. }) => Code::CaError,
        (..) => Code::RequestRefused,
    }
}

/// A limit of the name, of its registered domain, or of the account. [Boulder, `ratelimits/limiter.go`]
fn rate_limited(problem: &Problem, hostname: &str) -> Code {
    if says(problem, |detail| {
        detail.contains("temporarily prevented from requesting certificates for")
    }) {
        return Code::NamePaused;
    }
    match says(problem, |detail| detail.contains("exact set of")) || names(problem, hostname) {
        true => Code::NameRateLimited,
        false => Code::CaRateLimited,
    }
}

/// Whether the CA's words are about this name or its registered domain.
fn names(problem: &Problem, hostname: &str) -> bool {
    let domain = registered_domain(hostname);
    says(problem, |detail| mentions(detail, hostname) || mentions(detail, domain))
}

fn says(problem: &Problem, is_said: impl Fn(&str) -> bool) -> bool {
    let all = std::iter::once(problem).chain(&problem.subproblems);
    all.map(|problem| problem.detail.to_ascii_lowercase())
        .any(|detail| is_said(&detail))
}

/// The whole name, not a part of a longer one nor of an address.
fn mentions(detail: &str, name: &str) -> bool {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '@');
    detail.match_indices(name).any(|(at, _)| {
        let (before, rest) = (&detail[..at], &detail[at + name.len()..]);
        let ends = rest.strip_prefix('.').unwrap_or(rest);
        !before.ends_with(|c| of_a_name(c) || c == '.') && !ends.starts_with(of_a_name)
    })
}

fn culprit(code: Code) -> Culprit {
    match code {
        Code::CaSawOtherAnswer
        | Code::CaCouldNotConnect
        | Code::CaCouldNotResolve
        | Code::CaTlsFailed
        | Code::CaaForbids
        | Code::ValidationFailed
        | Code::NameRefused
        | Code::NameRateLimited
        | Code::NamePaused
        | Code::AddressElsewhere
        | Code::SelfTestUnreached
        | Code::BudgetSpent => Culprit::Name,
        Code::CaUnreachable
        | Code::CaTimeout
        | Code::CaUnreadable
        | Code::CaError
        | Code::CaRateLimited
        | Code::CaPaused => Culprit::Ca,
        Code::AccountUnknown
        | Code::AccountRefused
        | Code::ExternalAccountRequired
        | Code::TermsChanged
        | Code::ContactRefused => Culprit::Account,
        Code::OrderLost | Code::ReplacementRefused => Culprit::Order,
        Code::RequestRefused | Code::ProfileRefused | Code::NotOffered | Code::Internal => Culprit::Us,
    }
}

/// What is so, and who is to do what. `why` is what our own side saw.
fn words(code: Code, hostname: &str, why: &str) -> (String, String) {
    let (message, remedy) = match code {
        Code::CaSawOtherAnswer => (
            format!("The certificate authority looked for our proof at {hostname}, and was given something else."),
            format!("Check that every A and AAAA record of {hostname} leads to us, and that nothing in between (a CDN, a proxy, a firewall) answers or redirects requests for /.well-known/acme-challenge/. We try again by ourselves."),
        ),
        Code::CaCouldNotConnect => (
            format!("The certificate authority could not connect to {hostname}."),
            format!("Check that every A and AAAA record of {hostname} leads to us. The authority looks from several places in the world: no filter by country or network may stand in its way. We try again by ourselves."),
        ),
        Code::CaCouldNotResolve => (
            format!("The certificate authority could not look {hostname} up in the DNS."),
            format!("Check that all name servers of {hostname} answer, and that its DNSSEC records fit (the DS record at the registrar). We try again by ourselves."),
        ),
        Code::CaTlsFailed => (
            format!("The certificate authority could not agree on TLS with {hostname}."),
            format!("Check that every A and AAAA record of {hostname} leads to us, and that nothing in between ends TLS. We try again by ourselves."),
        ),
        Code::CaaForbids => (
            format!("The CAA records of {hostname}, or of a domain above it, do not let the certificate authority issue, or it could not read them."),
            "At the DNS host, add a CAA record that names this authority, or remove those that forbid it. We try again by ourselves.".to_owned(),
        ),
        Code::ValidationFailed => (
            format!("The certificate authority could not validate {hostname}."),
            format!("Its own words say why. Check that every A and AAAA record of {hostname} leads to us. We try again by ourselves."),
        ),
        Code::NameRefused => (
            format!("The certificate authority does not issue certificates for {hostname}."),
            "Its own words say why. Whoever runs Signpost can ask it, or use another authority.".to_owned(),
        ),
        Code::NameRateLimited => (
            format!("The certificate authority has had too many orders or failures for {hostname} or its domain lately."),
            "We go on when its limit allows it. If others obtain certificates for this domain too, they use the same limit.".to_owned(),
        ),
        Code::NamePaused => (
            format!("The certificate authority has stopped taking orders for {hostname} from us, after many failures in a row."),
            "Mend what kept it from validating the name. Then whoever runs Signpost has to lift the pause, at the address that the authority gives in its words.".to_owned(),
        ),
        Code::CaUnreachable => (format!("The certificate authority can't be reached: {why}"), GO_ON.to_owned()),
        Code::CaTimeout => ("The certificate authority did not answer in time.".to_owned(), GO_ON.to_owned()),
        Code::CaUnreadable => (
            format!("The certificate authority's answer can't be read: {why}"),
            "We go on trying. If it lasts, whoever runs Signpost should check SIGNPOST_ACME_DIRECTORY.".to_owned(),
        ),
        Code::Internal => (format!("Something went wrong within Signpost: {why}"), GO_ON.to_owned()),
        Code::CaError => ("The certificate authority has trouble of its own.".to_owned(), GO_ON.to_owned()),
        Code::CaRateLimited | Code::CaPaused | Code::BudgetSpent => (
            "The certificate authority takes no more orders from us for a while.".to_owned(),
            GO_ON.to_owned(),
        ),
        Code::AccountUnknown => (
            "The certificate authority does not know our account.".to_owned(),
            "Whoever runs Signpost should check that SIGNPOST_ACME_DIRECTORY is the one that the account was made at.".to_owned(),
        ),
        Code::AccountRefused => (
            "The certificate authority does not accept our account, or no longer does.".to_owned(),
            "Its own words say why. Whoever runs Signpost should check SIGNPOST_ACME_EAB_KEY_ID and SIGNPOST_ACME_EAB_KEY if the authority gave them, and settle it with the authority if not.".to_owned(),
        ),
        Code::ExternalAccountRequired => (
            "The certificate authority wants to know whose account ours is.".to_owned(),
            "Whoever runs Signpost has to set SIGNPOST_ACME_EAB_KEY_ID and SIGNPOST_ACME_EAB_KEY, which the authority gives to its customers.".to_owned(),
        ),
        Code::TermsChanged => (
            "The certificate authority wants something agreed to before it goes on.".to_owned(),
            "Whoever runs Signpost has to do so at the address that the authority gives in its words.".to_owned(),
        ),
        Code::ContactRefused => (
            "The certificate authority does not accept our contact address.".to_owned(),
            "Whoever runs Signpost has to mend SIGNPOST_ACME_CONTACT.".to_owned(),
        ),
        Code::OrderLost => (
            format!("The certificate authority knows nothing more of its order for {hostname}."),
            "There is nothing for you to do: we order again.".to_owned(),
        ),
        Code::ReplacementRefused => (
            format!("The certificate authority does not take the new order for {hostname} as a renewal."),
            "There is nothing for you to do: we order it as a new one.".to_owned(),
        ),
        Code::RequestRefused => (
            format!("The certificate authority does not accept what we sent for {hostname}."),
            "Whoever runs Signpost should report this, with the authority's own words: it is ours to mend.".to_owned(),
        ),
        Code::ProfileRefused => (
            "The certificate authority does not offer the kind of certificate that is set.".to_owned(),
            "Whoever runs Signpost has to mend SIGNPOST_ACME_PROFILE.".to_owned(),
        ),
        Code::NotOffered => (
            format!("The certificate authority does not offer {why}, and the settings ask for it."),
            "Whoever runs Signpost has to mend the settings, or use another authority.".to_owned(),
        ),
        Code::AddressElsewhere | Code::SelfTestUnreached => (
            format!("{hostname} does not lead to us."),
            "Let every A and AAAA record of the name lead to us.".to_owned(),
        ),
    };
    (message, remedy)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;
    const NEW: During = During::NewOrder { replaces: false };
    const REPLACING: During = During::NewOrder { replaces: true };

    fn problem(kind: &str, status: u16, detail: &str) -> Problem {
        Problem {
            kind: kind.into(),
            status,
            detail: detail.into(),
            subproblems: Vec::new(),
            retry_at: None,
        }
    }

    fn judged(error: &CaError, during: During) -> (String, Culprit) {
        let (failure, culprit) = of(error, "mdm.contoso.com", during, AT);
        assert!(!failure.message.is_empty() && !failure.remedy.is_empty(), "{failure:?}");
        (failure.code, culprit)
    }

    #[test]
    fn each_problem_has_a_code_and_a_culprit() {
        for (kind, status, during, code, culprit) in [
            ("unauthorized", 0, During::Order, "ca_saw_other_answer", Culprit::Name),
            (
                "incorrectResponse",
                0,
                During::Order,
                "ca_saw_other_answer",
                Culprit::Name,
            ),
            ("connection", 0, During::Order, "ca_could_not_connect", Culprit::Name),
            ("dns", 0, During::Order, "ca_could_not_resolve", Culprit::Name),
            ("tls", 0, During::Order, "ca_tls_failed", Culprit::Name),
            ("caa", 0, During::Order, "caa_forbids", Culprit::Name),
            ("caa", 403, During::Order, "caa_forbids", Culprit::Name),
            ("somethingNew", 0, During::Order, "validation_failed", Culprit::Name),
            ("", 0, During::Order, "validation_failed", Culprit::Name),
            ("rejectedIdentifier", 400, NEW, "name_refused", Culprit::Name),
            ("unsupportedIdentifier", 400, NEW, "name_refused", Culprit::Name),
            ("serverInternal", 500, NEW, "ca_error", Culprit::Ca),
            ("serverInternal", 0, During::Order, "ca_error", Culprit::Ca),
            ("", 503, During::Order, "ca_error", Culprit::Ca),
            ("malformed", 502, During::Order, "ca_error", Culprit::Ca),
            ("badNonce", 400, NEW, "ca_error", Culprit::Ca),
            ("", 429, During::Order, "ca_rate_limited", Culprit::Ca),
            ("rateLimited", 429, NEW, "ca_rate_limited", Culprit::Ca),
            ("rateLimited", 503, NEW, "ca_rate_limited", Culprit::Ca),
            ("accountDoesNotExist", 400, NEW, "account_unknown", Culprit::Account),
            ("unauthorized", 403, NEW, "account_refused", Culprit::Account),
            (
                "unauthorized",
                401,
                During::Account,
                "account_refused",
                Culprit::Account,
            ),
            (
                "externalAccountRequired",
                403,
                During::Account,
                "external_account_required",
                Culprit::Account,
            ),
            ("userActionRequired", 403, NEW, "terms_changed", Culprit::Account),
            (
                "invalidContact",
                400,
                During::Account,
                "contact_refused",
                Culprit::Account,
            ),
            (
                "unsupportedContact",
                400,
                During::Account,
                "contact_refused",
                Culprit::Account,
            ),
            ("malformed", 404, During::Order, "order_lost", Culprit::Order),
            ("malformed", 400, During::Order, "order_lost", Culprit::Order),
            ("", 404, During::Order, "order_lost", Culprit::Order),
            ("unauthorized", 403, During::Order, "order_lost", Culprit::Order),
            ("orderNotReady", 403, During::Order, "order_lost", Culprit::Order),
            ("alreadyReplaced", 409, REPLACING, "replacement_refused", Culprit::Order),
            ("malformed", 400, REPLACING, "replacement_refused", Culprit::Order),
            ("unauthorized", 403, REPLACING, "replacement_refused", Culprit::Order),
            ("", 404, REPLACING, "replacement_refused", Culprit::Order),
            ("caa", 403, REPLACING, "caa_forbids", Culprit::Name),
            ("malformed", 400, NEW, "request_refused", Culprit::Us),
            ("malformed", 400, During::Account, "request_refused", Culprit::Us),
            ("", 404, NEW, "ca_error", Culprit::Ca),
            ("", 404, During::Account, "ca_error", Culprit::Ca),
            ("badCSR", 400, During::Order, "request_refused", Culprit::Us),
            ("badPublicKey", 400, During::Order, "request_refused", Culprit::Us),
            ("badSignatureAlgorithm", 400, NEW, "request_refused", Culprit::Us),
            ("invalidProfile", 400, NEW, "profile_refused", Culprit::Us),
            ("somethingNew", 400, NEW, "request_refused", Culprit::Us),
        ] {
            let error = CaError::Refused(problem(kind, status, ""));
            assert_eq!(
                judged(&error, during),
                (code.to_owned(), culprit),
                "{kind} {status} {during:?}"
            );
        }
        for (error, code, culprit) in [
            (CaError::Unreachable("refused".into()), "ca_unreachable", Culprit::Ca),
            (CaError::Timeout, "ca_timeout", Culprit::Ca),
            (CaError::Malformed("no JSON".into()), "ca_unreadable", Culprit::Ca),
            (CaError::NotOffered("profiles"), "not_offered", Culprit::Us),
            (CaError::Unasked("no key"), "internal", Culprit::Us),
        ] {
            assert_eq!(judged(&error, NEW), (code.to_owned(), culprit));
        }
    }

    #[test]
    fn a_limit_of_the_name_is_told_from_one_of_the_account() {
        for (detail, code) in [
            (
                "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-23 12:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account",
                "ca_rate_limited",
            ),
            (
                "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after …",
                "name_rate_limited",
            ),
            (
                "too many certificates (50) already issued for \"contoso.com\" in the last 168h0m0s, retry after …",
                "name_rate_limited",
            ),
            (
                "too many failed authorizations (5) for \"mdm.contoso.com\" in the last 1h0m0s, retry after …",
                "name_rate_limited",
            ),
            ("Too many: MDM.CONTOSO.COM.", "name_rate_limited"),
            (
                "Your account is temporarily prevented from requesting certificates for mdm.contoso.com and possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=x",
                "name_paused",
            ),
            ("too many for \"notcontoso.com\"", "ca_rate_limited"),
            ("too many for \"contoso.com.example\"", "ca_rate_limited"),
            ("too many for \"other.contoso.com\"", "ca_rate_limited"),
            ("see https://contoso.com/limits", "ca_rate_limited"),
            ("", "ca_rate_limited"),
        ] {
            let error = CaError::Refused(problem("rateLimited", 429, detail));
            assert_eq!(judged(&error, NEW).0, code, "{detail}");
        }
    }

    #[test]
    fn a_subproblem_says_what_a_compound_one_does_not() {
        let compound = |kind: &str, detail| {
            CaError::Refused(Problem {
                subproblems: vec![problem("caa", 0, "CAA record for contoso.com prevents issuance")],
                ..problem(kind, 403, detail)
            })
        };
        let (failure, culprit) = of(&compound("compound", "Several"), "mdm.contoso.com", NEW, AT);
        assert_eq!((failure.code.as_str(), culprit), ("caa_forbids", Culprit::Name));
        assert_eq!(failure.ca.map(|words| words.kind).as_deref(), Some("caa"));
        assert_eq!(judged(&compound("rejectedIdentifier", ""), NEW).0, "name_refused");
        let limited = CaError::Refused(Problem {
            subproblems: vec![problem("rateLimited", 0, "too many for \"contoso.com\"")],
            ..problem("rateLimited", 429, "too many for 1 name")
        });
        assert_eq!(judged(&limited, NEW).0, "name_rate_limited");
    }

    #[test]
    fn a_name_that_the_ca_can_not_read_is_the_names_trouble() {
        let error = CaError::Refused(problem("malformed", 400, "Invalid identifier \"mdm.contoso.com\""));
        assert_eq!(judged(&error, NEW), ("name_refused".to_owned(), Culprit::Name));
    }

    #[test]
    fn when_the_ca_may_be_asked_again_is_told() {
        let until = AT + TimeDelta::hours(34);
        let error = CaError::Refused(Problem {
            retry_at: Some(until),
            ..problem("rateLimited", 429, "exact set of identifiers")
        });
        assert_eq!(retry_at(&error), Some(until));
        let (failure, _) = of(&error, "mdm.contoso.com", NEW, AT);
        assert!(
            failure.message.ends_with("wait until 1970-01-02 10:00 UTC."),
            "{}",
            failure.message
        );
        let (failure, _) = of(&error, "mdm.contoso.com", NEW, until);
        assert!(!failure.message.contains("1970"), "{}", failure.message);
        assert_eq!(retry_at(&CaError::Timeout), None);
    }

    #[test]
    fn a_hostile_ca_fills_no_row_and_moves_no_cursor() {
        let noise = "\u{1b}[2J\n".repeat(100_000);
        for error in [
            CaError::Refused(problem(&noise, 400, &noise)),
            CaError::Malformed(noise.clone()),
            CaError::Unreachable(noise.clone()),
        ] {
            let (failure, _) = of(&error, "mdm.contoso.com", NEW, AT);
            let text = serde_json::to_string(&failure).expect("JSON");
            assert!(text.len() < 4_000, "{} bytes", text.len());
            assert!(!text.contains("\\u001b") && !text.contains("\\n"), "{text}");
        }
    }
}
