//! One answer of a CA, whole and of bounded length, and what its headers say.
use std::time::Duration;

use reqwest::{
    Response, header,
    header::{HeaderMap, HeaderName},
};
use serde::de::DeserializeOwned;
use url::Url;

use super::{CaError, Problem, address, nonces};
use crate::{input::plain, outbound::retry_after};

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// An answer, of whatever status.
pub struct Reply {
    url: Url,
    status: u16,
    headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(response: &mut Response, body: Vec<u8>) -> Self {
        Self {
            url: response.url().clone(),
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        }
    }

    /// `what` is expected.
    pub fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, CaError> {
        serde_json::from_slice(&self.body).map_err(|error| match self.content_type() {
            kind if kind.contains("json") => CaError::malformed(format!("{what}: {error}")),
            kind => CaError::malformed(format!("{what} is of the type {}", plain(kind, 60))),
        })
    }

    pub fn location(&self) -> Result<Url, CaError> {
        let text = self.header(header::LOCATION);
        let url = text.ok_or_else(|| CaError::malformed("it does not say where what it made is"))?;
        self.absolute(url)
    }

    /// Where the list goes on (RFC 8288).
    pub fn next(&self) -> Option<Result<Url, CaError>> {
        let links = self.headers.get_all(header::LINK).iter();
        let next = links
            .filter_map(|link| link.to_str().ok())
            .flat_map(|links| links.split(','))
            .find_map(|link| {
                let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
                let is_next = |parameter: &str| matches!(parameter.trim(), "rel=\"next\"" | "rel=next");
                parameters.split(';').any(is_next).then_some(target)
            });
        next.map(|target| self.absolute(target))
    }

    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::parse(self.header(header::RETRY_AFTER)?, super::now())
    }

    /// Itself, if it does not refuse.
    pub fn refused_or_not(self) -> Result<Self, CaError> {
        match self.status {
            200..=299 if !self.content_type().starts_with("application/problem+json") => Ok(self),
            300..=399 => Err(CaError::malformed(format!("status {}", self.status))),
            _ => {
                let retry_at = self.retry_after().map(|wait| super::now() + wait);
                let problem = Problem::of_answer(self.status, &self.body, retry_at);
                Err(CaError::Refused(problem))
            }
        }
    }

    pub fn nonce(&self) -> Option<String> {
        nonces::parse(self.header(REPLAY_NONCE)?)
    }

    fn content_type(&self) -> &str {
        self.header(header::CONTENT_TYPE).unwrap_or("")
    }

    fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn absolute(&self, text: &str) -> Result<Url, CaError> {
        match self.url.join(text) {
            Ok(url) => address::parse(url.as_str()),
            Err(_) => address::parse(text),
        }
    }
}
