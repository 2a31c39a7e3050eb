//! Forms with a file (`multipart/form-data`): what was typed as texts, and files as they are.
use actix_multipart::Multipart;
use actix_web::{error::PayloadError, http::header::HeaderMap};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::fault::Fault;

/// The reader of parts takes no more at once.
const CHUNK: usize = 16 * 1024;

/// What a form with a file holds, under the names of its fields.
#[derive(Default)]
pub struct Parts {
    pub fields: Vec<(String, String)>,
    pub files: Vec<(String, Vec<u8>)>,
}

/// The parts of a body that arrived as a whole, at most `max` and one. A text that is no UTF-8 is marked in it.
pub async fn parts(headers: &HeaderMap, body: Bytes, max: usize) -> Result<Parts, Fault> {
    let chunks = (0..body.len()).step_by(CHUNK).map(move |start| {
        let end = body.len().min(start + CHUNK);
        Ok::<_, PayloadError>(body.slice(start..end))
    });
    let mut read = Multipart::new(headers, stream::iter(chunks));
    let mut parts = Parts::default();
    while let Some(part) = read.next().await {
        let mut part = part.map_err(|_| Fault::Incomplete)?;
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part
            .content_disposition()
            .is_some_and(|said| said.get_filename().is_some());
        let mut value = Vec::new();
        while let Some(chunk) = part.next().await {
            value.extend_from_slice(&chunk.map_err(|_| Fault::Incomplete)?);
        }
        match is_file {
            true => parts.files.push((name, value)),
            false => parts.fields.push((name, String::from_utf8_lossy(&value).into_owned())),
        }
        if parts.fields.len() + parts.files.len() > max {
            break;
        }
    }
    Ok(parts)
}
