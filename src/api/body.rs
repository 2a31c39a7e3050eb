//! A JSON body that is read when the handler asks for it, and not before: a stranger gets 404
//! without our having read what was sent.
use std::{
    future::{Ready, ready},
    marker::PhantomData,
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_path_to_error::Segment;

use super::problem::Problem;
use crate::{
    body_budget::Reservation,
    input::{FieldError, Object, escape},
};

/// A body that takes longer than this is refused: whoever sends slowly is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest body of most operations.
pub const LIMIT: usize = 256 * 1024;

/// A body of at most `MAX` bytes that will be a `T`.
pub struct Body<T, const MAX: usize = LIMIT> {
    payload: Payload,
    is_json: bool,
    announced: Option<usize>,
    shape: PhantomData<T>,
}

impl<T: DeserializeOwned, const MAX: usize> Body<T, MAX> {
    /// Reads and parses. What does not parse says where, as a JSON pointer.
    pub async fn read(self) -> Result<T, Problem> {
        if !self.is_json {
            return Err(Problem::unsupported_media_type());
        }
        let bytes = read_at_most(self.payload, self.announced, MAX).await?;
        parse(&bytes)
    }
}

/// Reads a payload to its end; one that is longer than `max` is refused as soon as that is known.
pub async fn read_at_most(mut payload: Payload, announced: Option<usize>, max: usize) -> Result<BytesMut, Problem> {
    if announced.is_some_and(|length| length > max) {
        return Err(Problem::payload_too_large(max));
    }
    let whole = async {
        let (mut bytes, mut reserved) = (BytesMut::new(), Reservation::default());
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| incomplete("The body ended before it was complete."))?;
            if bytes.len() + chunk.len() > max {
                return Err(Problem::payload_too_large(max));
            }
            reserved.grow(chunk.len()).map_err(|_| Problem::overloaded(1))?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    let in_time = tokio::time::timeout(PATIENCE, whole).await;
    in_time.unwrap_or_else(|_| Err(incomplete("The body did not arrive within 15 seconds.")))
}

fn incomplete(detail: &str) -> Problem {
    Problem::invalid(vec![FieldError::new("", detail)])
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(located);
    let ended = |Object(value)| json.end().map(|()| value).map_err(|error| FieldError::new("", error));
    parsed.and_then(ended).map_err(|error| Problem::invalid(vec![error]))
}

/// What does not parse, with its place.
pub fn located(error: serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let pointer = error.path().iter().map(pointer_segment).collect::<String>();
    FieldError::new(pointer, error.into_inner())
}

fn pointer_segment(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    }
}

impl<T, const MAX: usize> FromRequest for Body<T, MAX> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let text = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value: &header::HeaderValue| value.to_str().ok())
        };
        let media_type = text(header::CONTENT_TYPE)
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        ready(Ok(Self {
            payload: payload.take(),
            is_json: media_type == "application/json" || media_type.ends_with("+json"),
            announced: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            shape: PhantomData,
        }))
    }
}

/// Tells `"field": null` (`Some(None)`) from a field that is not there (`None`). With `#[serde(default)]`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[serde(rename = "items")]
        _items: Vec<Item>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[serde(rename = "a/b")]
        _number: u8,
    }

    #[test]
    fn a_mistake_is_named_with_its_pointer() {
        for (json, pointer) in [
            (r#"{"items":[{"a/b":1},{"a/b":"x"}]}"#, "/items/1/a~1b"),
            (r#"{"items":[{"a/b":1,"x":1}]}"#, "/items/0/x"),
            (r#"{"items":[],"y":1}"#, "/y"),
            (r#"{"items":[]} x"#, ""),
            ("{", ""),
            ("", ""),
            ("\u{feff}{}", ""),
            ("[]", ""),
            ("[[]]", ""),
        ] {
            let problem = parse::<Shape>(json.as_bytes()).expect_err(json);
            assert_eq!(
                problem
                    .invalid_fields()
                    .into_iter()
                    .map(|error| error.pointer)
                    .collect::<Vec<_>>(),
                [pointer],
                "{json}: {problem}"
            );
        }
    }
}
