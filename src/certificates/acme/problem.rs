//! What a CA says is wrong (RFC 8555 §6.7), and everything else that can go wrong while it is asked. A CA's words end
//! in logs and on screens: they are cut and cleaned here, where they come in.
use chrono::{DateTime, NaiveDateTime, Utc};
use rustls_acme::acme;
use serde::Deserialize;

use crate::{input::plain, outbound::retry_after};

const NAMESPACE: &str = "urn:ietf:params:acme:error:";
const KIND: usize = 64;
/// Let's Encrypt tells a paused account an address of some 500 characters.
const DETAIL: usize = 1_500;
const SUBPROBLEMS: usize = 10;

/// A problem document (RFC 7807) of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Without `urn:ietf:params:acme:error:`; empty if there was no readable document.
    pub kind: String,
    /// Of the answer; 0 for a problem within an order, an authorization or a challenge.
    pub status: u16,
    /// The CA's own words, of bounded length.
    pub detail: String,
    pub subproblems: Vec<Problem>,
    /// When it may be asked again, if it says so: `Retry-After`, or the end of a `rateLimited` detail.
    pub retry_at: Option<DateTime<Utc>>,
}

/// A question to a CA that got no useful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    #[error("the CA can't be reached: {0}")]
    Unreachable(String),
    #[error("the CA did not answer in time")]
    Timeout,
    #[error("the CA's answer can't be read: {0}")]
    Malformed(String),
    #[error("the CA refused: {0}")]
    Refused(Problem),
    /// This CA has no such thing in its directory (RFC 9773, RFC 8555 §7.6, profiles).
    #[error("the CA does not offer {0}")]
    NotOffered(&'static str),
    /// What we have to sign with can't be used. Ours to mend: the CA knows nothing of it.
    #[error("the CA can't be asked: {0}")]
    Unasked(&'static str),
}

impl CaError {
    /// `why` may hold the CA's words.
    pub(super) fn malformed(why: impl AsRef<str>) -> Self {
        Self::Malformed(plain(why.as_ref(), 300))
    }
}

impl Problem {
    /// Of an answer that refuses. Whatever stands in for the document, there is a problem.
    pub(super) fn of_answer(status: u16, body: &[u8], retry_at: Option<DateTime<Utc>>) -> Self {
        let document: Document = serde_json::from_slice(body).unwrap_or_default();
        let mut problem = document.read(status);
        problem.retry_at = retry_at.or(problem.retry_at);
        problem
    }
}

/// The problem of an order.
impl From<&acme::Problem> for Problem {
    fn from(problem: &acme::Problem) -> Self {
        let (kind, detail) = (problem.typ.clone(), problem.detail.clone());
        Document {
            kind,
            detail,
            ..Document::default()
        }
        .read(0)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind.as_str(), self.status) {
            ("", 0) => f.write_str("for no reason given")?,
            ("", status) => write!(f, "status {status}")?,
            (kind, _) => f.write_str(kind)?,
        }
        match self.detail.as_str() {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

/// As it comes. Its own `status` is left out: the answer's counts.
#[derive(Default, Deserialize)]
pub(super) struct Document {
    #[serde(rename = "type")]
    kind: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    subproblems: Vec<Document>,
}

impl Document {
    pub(super) fn read(self, status: u16) -> Problem {
        let kind = self.kind.unwrap_or_default();
        let kind = plain(kind.strip_prefix(NAMESPACE).unwrap_or(&kind), KIND);
        let detail = plain(&self.detail.unwrap_or_default(), DETAIL);
        let retry_at = (kind == "rateLimited").then(|| ends_at(&detail)).flatten();
        // A subproblem has none of its own (RFC 8555 §6.7.1).
        let subproblems = self.subproblems.into_iter().take(SUBPROBLEMS).map(|subproblem| {
            Self {
                subproblems: Vec::new(),
                ..subproblem
            }
            .read(0)
        });
        Problem {
            subproblems: subproblems.collect(),
            kind,
            status,
            detail,
            retry_at,
        }
    }
}

/// Let's Encrypt's "…, retry after 2026-11-23 12:00:00 UTC: see …".
fn ends_at(detail: &str) -> Option<DateTime<Utc>> {
    let (_, text) = detail.rsplit_once("retry after ")?;
    let (time, zone) = text.split_at_checked("2026-11-23 12:00:00".len())?;
    let is_utc = zone.starts_with(" UTC") || zone.starts_with('Z');
    let format = match time.contains('T') {
        true => "%Y-%m-%dT%H:%M:%S",
        false => "%Y-%m-%d %H:%M:%S",
    };
    let time = NaiveDateTime::parse_from_str(time, format).ok()?;
    is_utc.then(|| retry_after::bounded(time.and_utc(), super::now()))
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    fn read(document: &str) -> Problem {
        Problem::of_answer(400, document.as_bytes(), None)
    }

    #[test]
    fn a_problem_is_read_with_its_subproblems_and_without_its_prefix() {
        let problem = read(
            r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"No.","status":999,"subproblems":[
                {"type":"urn:ietf:params:acme:error:caa","detail":"CAA forbids","identifier":{"type":"dns","value":"x"},
                 "subproblems":[{"detail":"deeper"}]}]}"#,
        );
        assert_eq!((problem.kind.as_str(), problem.status), ("rejectedIdentifier", 400));
        assert_eq!(problem.to_string(), "rejectedIdentifier: No.");
        let [caa] = problem.subproblems.as_slice() else {
            panic!("{problem:?}")
        };
        assert_eq!((caa.kind.as_str(), caa.detail.as_str()), ("caa", "CAA forbids"));
        assert!(caa.subproblems.is_empty());
    }

    #[test]
    fn what_is_no_problem_document_is_still_a_problem() {
        for body in [
            "",
            "<html><h1>503</h1>",
            "null",
            "[]",
            "{",
            r#"{"type":7}"#,
            r#"{"subproblems":{}}"#,
            "\u{0}",
        ] {
            let problem = Problem::of_answer(503, body.as_bytes(), None);
            assert_eq!((problem.kind.as_str(), problem.detail.as_str()), ("", ""), "{body}");
            assert_eq!(CaError::Refused(problem).to_string(), "the CA refused: status 503");
        }
        assert_eq!(read(r#"{"type":"about:blank"}"#).kind, "about:blank");
    }

    #[test]
    fn a_hostile_problem_is_cut_and_moves_no_cursor() {
        let document = serde_json::json!({
            "type": format!("urn:ietf:params:acme:error:{}", "k".repeat(10_000)),
            "detail": "\u{1b}[2J\r\n2026-11-23 ERROR forged\u{202e} ".repeat(10_000),
            "subproblems": vec![serde_json::json!({"detail": "x".repeat(5_000)}); 500],
        });
        let problem = read(&document.to_string());
        let told = format!("{problem:?} {}", CaError::Refused(problem.clone()));
        assert!(!told.contains(|c: char| c.is_control() || c == '\u{202e}'), "{told}");
        assert!(problem.kind.chars().count() <= KIND + 1);
        assert!(problem.detail.chars().count() <= DETAIL + 1);
        assert_eq!(problem.subproblems.len(), SUBPROBLEMS);
        // Deeper than a stack should go.
        let deep = r#"{"subproblems":["#.repeat(100_000);
        assert_eq!(read(&deep).kind, "");
    }

    #[test]
    fn the_end_of_a_rate_limit_is_read_from_its_text_unless_the_answer_says_it() {
        let now = super::super::now();
        let end = now + Duration::hours(3);
        let spaced = end.format("%Y-%m-%d %H:%M:%S UTC");
        let limited = |detail: String| {
            let document = serde_json::json!({"type": "urn:ietf:params:acme:error:rateLimited", "detail": detail});
            read(&document.to_string()).retry_at.map(|at| at.timestamp())
        };
        let expected = Some(end.timestamp());
        for detail in [
            format!(
                "too many new orders (300) from this account in the last 3h0m0s, retry after {spaced}: see https://letsencrypt.org/docs/rate-limits/"
            ),
            format!("too many failed authorizations (5) for \"a.example\", retry after {spaced}"),
            format!("retry after never, retry after {}", end.format("%Y-%m-%dT%H:%M:%SZ")),
        ] {
            assert_eq!(limited(detail.clone()), expected, "{detail}");
        }
        for detail in [
            "",
            "retry after",
            "retry after ",
            "retry after tomorrow",
            "retry after 2026-13-45 99:99:99 UTC",
            "retry after 2026-11-23 12:00:00 CET",
            "retry after ééééééééééééééééééé",
        ] {
            assert_eq!(limited(detail.to_owned()), None, "{detail}");
        }
        // A CA can't put us off for good.
        let far = limited("retry after 9999-12-31 23:59:59 UTC".into()).unwrap();
        assert!(far <= (now + Duration::days(32)).timestamp());

        let told = now + Duration::minutes(5);
        let document =
            format!(r#"{{"type":"urn:ietf:params:acme:error:rateLimited","detail":"retry after {spaced}"}}"#);
        let problem = Problem::of_answer(429, document.as_bytes(), Some(told));
        assert_eq!(problem.retry_at, Some(told));
        // Only a limit ends.
        let other = format!(r#"{{"type":"urn:ietf:params:acme:error:malformed","detail":"retry after {spaced}"}}"#);
        assert_eq!(read(&other).retry_at, None);
    }
}
