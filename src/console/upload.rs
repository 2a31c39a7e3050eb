//! Forms with a file (`multipart/form-data`): each part as a text under its name.
use actix_multipart::Multipart;
use actix_web::{error::PayloadError, http::header::HeaderMap};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::fault::Fault;

/// The reader of parts takes no more at once.
const CHUNK: usize = 16 * 1024;

/// The fields of a body that arrived as a whole, at most `max` and one. What is no UTF-8 is marked in it, for the
/// page to say so.
pub async fn fields(headers: &HeaderMap, body: Bytes, max: usize) -> Result<Vec<(String, String)>, Fault> {
    let chunks = (0..body.len()).step_by(CHUNK).map(move |start| {
        let end = body.len().min(start + CHUNK);
        Ok::<_, PayloadError>(body.slice(start..end))
    });
    let mut parts = Multipart::new(headers, stream::iter(chunks));
    let mut fields = Vec::new();
    while let Some(part) = parts.next().await {
        let mut part = part.map_err(|_| Fault::Incomplete)?;
        let name = part.name().unwrap_or_default().to_owned();
        let mut value = Vec::new();
        while let Some(chunk) = part.next().await {
            value.extend_from_slice(&chunk.map_err(|_| Fault::Incomplete)?);
        }
        fields.push((name, String::from_utf8_lossy(&value).into_owned()));
        if fields.len() > max {
            break;
        }
    }
    Ok(fields)
}
