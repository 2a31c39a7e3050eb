//! Why there is no certificate, in words for people: what is so, and who is to do what. The CA's own words are kept
//! beside ours, as what they are: the text of a stranger.
//!
//! Stored as JSON, and read by versions before and after: a code that is not known is still a text.
mod of_ca;
mod pre_flight;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use of_ca::{During, of, retry_at};

/// As much as is kept of what a stranger says.
const LONGEST_WORDS: usize = 600;
const LONGEST_KIND: usize = 64;

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs, `snake_case`. Codes are added, never changed.
    pub code: String,
    /// What is so.
    pub message: String,
    /// Who is to do what.
    #[serde(default)]
    pub remedy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaWords>,
    pub at: DateTime<Utc>,
}

/// What the CA said itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaWords {
    /// RFC 8555 §6.7, without the namespace: `unauthorized`.
    pub kind: String,
    pub detail: String,
}

/// Whose trouble it is: decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Culprit {
    /// The name: its next attempt waits, the others go on.
    Name,
    /// The CA is down, busy, or can't be understood, or this account has ordered enough: all orders wait.
    Ca,
    /// The CA does not accept the account: an operator must act, all orders wait.
    Account,
    /// The order is of no use any more: it is forgotten, and another is made.
    Order,
    /// What we sent is wrong: an operator or a programmer must act.
    Us,
}

/// What a failure is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    // What the CA saw of the name.
    CaSawOtherAnswer,
    CaCouldNotConnect,
    CaCouldNotResolve,
    CaTlsFailed,
    CaaForbids,
    ValidationFailed,
    NameRefused,
    NameRateLimited,
    NamePaused,
    // The CA itself.
    CaUnreachable,
    CaTimeout,
    CaUnreadable,
    CaError,
    CaRateLimited,
    // The account.
    AccountUnknown,
    AccountRefused,
    ExternalAccountRequired,
    TermsChanged,
    ContactRefused,
    // The order.
    OrderLost,
    ReplacementRefused,
    // What we sent.
    RequestRefused,
    ProfileRefused,
    NotOffered,
    // Seen before the CA is asked.
    AddressElsewhere,
    SelfTestUnreached,
    BudgetSpent,
    CaPaused,
    // Our own.
    Internal,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::CaSawOtherAnswer => "ca_saw_other_answer",
            Self::CaCouldNotConnect => "ca_could_not_connect",
            Self::CaCouldNotResolve => "ca_could_not_resolve",
            Self::CaTlsFailed => "ca_tls_failed",
            Self::CaaForbids => "caa_forbids",
            Self::ValidationFailed => "validation_failed",
            Self::NameRefused => "name_refused",
            Self::NameRateLimited => "name_rate_limited",
            Self::NamePaused => "name_paused",
            Self::CaUnreachable => "ca_unreachable",
            Self::CaTimeout => "ca_timeout",
            Self::CaUnreadable => "ca_unreadable",
            Self::CaError => "ca_error",
            Self::CaRateLimited => "ca_rate_limited",
            Self::AccountUnknown => "account_unknown",
            Self::AccountRefused => "account_refused",
            Self::ExternalAccountRequired => "external_account_required",
            Self::TermsChanged => "terms_changed",
            Self::ContactRefused => "contact_refused",
            Self::OrderLost => "order_lost",
            Self::ReplacementRefused => "replacement_refused",
            Self::RequestRefused => "request_refused",
            Self::ProfileRefused => "profile_refused",
            Self::NotOffered => "not_offered",
            Self::AddressElsewhere => "address_elsewhere",
            Self::SelfTestUnreached => "self_test_unreached",
            Self::BudgetSpent => "budget_spent",
            Self::CaPaused => "ca_paused",
            Self::Internal => "internal",
        }
    }
}

impl Failure {
    fn new(code: Code, message: impl Into<String>, remedy: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self {
            code: code.as_str().to_owned(),
            message: message.into(),
            remedy: remedy.into(),
            ca: None,
            at,
        }
    }
}

/// One line of bounded length, without control characters.
fn shown(text: &str, longest: usize) -> String {
    let cut: String = text.chars().take(longest * 2).collect();
    let words = cut.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let failure = Failure {
            ca: Some(CaWords {
                kind: "unauthorized".into(),
                detail: "Invalid response".into(),
            }),
            ..Failure::new(Code::CaSawOtherAnswer, "a", "b", DateTime::UNIX_EPOCH)
        };
        let text = serde_json::to_string(&failure).expect("JSON");
        assert_eq!(serde_json::from_str::<Failure>(&text).expect("a failure"), failure);
    }

    #[test]
    fn what_a_later_version_wrote_can_be_read() {
        let later = r#"{"code":"moon_in_the_wrong_phase","message":"m","at":"2027-01-01T00:00:00Z","phase":3}"#;
        let failure: Failure = serde_json::from_str(later).expect("a failure");
        assert_eq!(
            (failure.code.as_str(), failure.remedy.as_str(), failure.ca),
            ("moon_in_the_wrong_phase", "", None)
        );
    }

    #[test]
    fn a_strangers_words_are_one_line_of_bounded_length() {
        for (text, expected) in [
            ("  a \r\n\t b\u{1b}[2J ", "a b [2J"),
            ("", ""),
            ("äöüßäöüß", "äöüßä…"),
            ("a\0b", "a b"),
        ] {
            assert_eq!(shown(text, if text.starts_with('ä') { 5 } else { 100 }), expected);
        }
        assert!(shown(&"x ".repeat(1_000_000), 600).chars().count() <= 601);
    }
}
