//! One attempt to bring one delivery, and what is made of the answer. The receiver is a stranger's server: it is guarded
//! against as every other (`outbound`), and what it says is kept as a short plain text.
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use tokio::time::Instant;

use super::{
    deliveries::store::Due,
    signing::{Secret, signatures},
};
use crate::{
    clock::DatabaseTime,
    dns::Dns,
    input::plain,
    outbound::{FetchError, Fetched, Get, Outbound, Post, retry_after},
    sealed::Keyring,
};

/// A receiver that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 * 1024;
/// As much as is kept of what a stranger says.
const LONGEST_WORDS: usize = 1_000;

/// Sends to addresses that somebody else chose.
pub struct Sender {
    pub outbound: Outbound,
    pub dns: Dns,
    /// For the whole of an attempt; [`PATIENCE`], but in tests.
    pub patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// Perhaps later.
    Failed,
    /// 410: the receiver wants nothing any more.
    Gone,
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Came {
    pub verdict: Verdict,
    pub status: Option<i16>,
    pub text: String,
    pub took: Duration,
    /// Before the next attempt, as the receiver said.
    pub asked_to_wait: Option<TimeDelta>,
}

impl Sender {
    pub async fn send(&self, keyring: &Keyring, due: &Due, now: DatabaseTime) -> Came {
        let started = Instant::now();
        let ((verdict, status, text), asked_to_wait) = match self.post(keyring, due, now).await {
            Ok(fetched) => (judge(&fetched), asked_to_wait(&fetched, now.get())),
            Err(why) => ((Verdict::Failed, None, why), None),
        };
        Came {
            verdict,
            status,
            text: plain(&text, LONGEST_WORDS),
            took: started.elapsed(),
            asked_to_wait,
        }
    }

    async fn post(&self, keyring: &Keyring, due: &Due, now: DatabaseTime) -> Result<Fetched, String> {
        let secrets = secrets(keyring, due)?;
        let url = due.url.parse().map_err(|_| "The URL can't be read.".to_owned())?;
        let signature = signatures(&secrets, due.event_id, now.get().timestamp(), &due.payload);
        let value = |text: String| HeaderValue::try_from(text).map_err(|error| error.to_string());
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static("Signpost-Webhooks/1")),
            (HeaderName::from_static("webhook-id"), value(due.event_id.to_string())?),
            (
                HeaderName::from_static("webhook-timestamp"),
                value(now.get().timestamp().to_string())?,
            ),
            (HeaderName::from_static("webhook-signature"), value(signature)?),
        ];
        let to = Get {
            url: &url,
            headers: &headers,
            max_body: MAX_ANSWER,
            patience: self.patience,
            roots: &[],
        };
        let body = due.payload.clone().into();
        let sent = self.outbound.post(&self.dns, Post { to, body }).await;
        sent.map_err(|error| words(&error))
    }
}

/// Both while the old one still signs.
fn secrets(keyring: &Keyring, due: &Due) -> Result<Vec<Secret>, String> {
    let sealed = [Some(&due.secret_sealed), due.old_secret_sealed.as_ref()];
    let opened = sealed
        .into_iter()
        .flatten()
        .map(|sealed| Secret::open(keyring, due.held.endpoint_id, sealed));
    // Sealed under a key that only another node has, it is opened there.
    opened
        .collect::<Result<_, _>>()
        .map_err(|_| "Signpost could not open the endpoint's secret: whoever runs it has to act.".to_owned())
}

fn judge(fetched: &Fetched) -> (Verdict, Option<i16>, String) {
    let status = fetched.status;
    let verdict = match status {
        StatusCode::GONE => Verdict::Gone,
        status if status.is_success() => Verdict::Delivered,
        _ => Verdict::Failed,
    };
    let text = match status.is_redirection() {
        true => "Redirects are not followed: give the endpoint the address that answers itself.".to_owned(),
        false => String::from_utf8_lossy(&fetched.body).into_owned(),
    };
    (verdict, i16::try_from(status.as_u16()).ok(), text)
}

/// `Retry-After`, of those who have too much to do; anybody else's says nothing.
fn asked_to_wait(fetched: &Fetched, now: DateTime<Utc>) -> Option<TimeDelta> {
    let is_busy = matches!(
        fetched.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let told = fetched.headers.get(RETRY_AFTER).filter(|_| is_busy)?.to_str().ok()?;
    TimeDelta::from_std(retry_after::parse(told, now)?).ok()
}

/// For the endpoint's owner: what is so, as a sentence.
fn words(error: &FetchError) -> String {
    let mut text = match error {
        FetchError::Tls(source) => format!("{error}: {source}"),
        FetchError::Http(source) => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whoever_has_too_much_to_do_is_waited_for() {
        let now = DateTime::UNIX_EPOCH;
        for (status, told, expected) in [
            (429, "60", Some(60)),
            (503, "Thu, 01 Jan 1970 00:02:00 GMT", Some(120)),
            (429, "soon", None),
            (500, "60", None),
            (200, "60", None),
        ] {
            let fetched = Fetched {
                status: StatusCode::from_u16(status).unwrap(),
                headers: [(RETRY_AFTER, HeaderValue::from_static(told))].into_iter().collect(),
                body: bytes::Bytes::new(),
                address: "192.0.2.1:443".parse().unwrap(),
            };
            assert_eq!(
                asked_to_wait(&fetched, now),
                expected.map(TimeDelta::seconds),
                "{status} {told}"
            );
        }
    }

    #[test]
    fn only_2xx_is_success_and_only_410_says_goodbye() {
        for (status, expected) in [
            (200, Verdict::Delivered),
            (204, Verdict::Delivered),
            (299, Verdict::Delivered),
            (301, Verdict::Failed),
            (304, Verdict::Failed),
            (400, Verdict::Failed),
            (404, Verdict::Failed),
            (410, Verdict::Gone),
            (429, Verdict::Failed),
            (500, Verdict::Failed),
            (999, Verdict::Failed),
        ] {
            let fetched = Fetched {
                status: StatusCode::from_u16(status).unwrap(),
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::from_static(b"said"),
                address: "192.0.2.1:443".parse().unwrap(),
            };
            let (verdict, kept, text) = judge(&fetched);
            assert_eq!(verdict, expected, "{status}");
            assert_eq!(kept.map(i16::unsigned_abs), Some(status));
            assert_eq!(text == "said", !(300..400).contains(&status), "{status}");
        }
    }
}
