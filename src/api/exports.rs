//! The request log as a stream.
use actix_web::{HttpResponse, http::header};
use futures_util::stream;

use crate::request_log::export::{Export, Format};

/// The export that an `Accept` header asks for, if it asks for one.
#[must_use]
pub fn accepted(accept: &str) -> Option<Format> {
    accept
        .split(',')
        .find_map(|item| match item.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Format::Csv),
            "application/x-ndjson" => Some(Format::Ndjson),
            _ => None,
        })
}

/// Rows newest first. A failure of the database breaks the connection off: an export that looks whole and is not would be
/// worse.
#[must_use]
pub fn stream(export: Export, format: Format) -> HttpResponse {
    let pages = stream::try_unfold(export, |mut export| async move {
        let page = export.next_page().await.map_err(|error| {
            crate::telemetry::log_failed_work("an export broke off", error);
            std::io::Error::other("an export broke off")
        })?;
        Ok::<_, std::io::Error>(page.map(|page| (page, export)))
    });
    HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((header::CONTENT_DISPOSITION, format.disposition()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pages)
}
