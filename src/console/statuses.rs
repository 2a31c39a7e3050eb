//! What a status is called, the same on every page; and its colour, which never stands alone.
use crate::domains::status::Status;

/// The class and the words.
#[must_use]
pub fn words(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::PendingOwnership => ("wait", "Waiting for the TXT record"),
        Status::PendingDns => ("wait", "Waiting for DNS"),
        Status::PendingCertificate => ("wait", "Getting its certificate"),
        Status::Active => ("good", "Active"),
        Status::Attention => ("bad", "Needs attention"),
        Status::Suspended => ("bad", "Suspended"),
    }
}
