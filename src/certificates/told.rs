//! What programs are told of certificates, in the transaction that it is true with.
use serde_json::json;
use sqlx::PgConnection;

use super::{
    store::{self, NewCertificate},
    turns::{self, Postponed, Turn},
};
use crate::{
    clock::DatabaseTime,
    outbox::event::{Kind, tell},
};

/// Stores what was obtained, and says so; see [`store::put`].
pub async fn put(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    new: &NewCertificate,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let Some(subject) = store::put(db, issuer, turn, new).await? else {
        return Ok(());
    };
    let more = json!({ "not_before": new.not_before, "not_after": new.not_after, "renews_at": new.renews_at });
    tell(db, Kind::CertificateIssued, &subject, more, now).await
}

/// Notes why there is none, and says so unless that was the reason last time as well: an attempt every few hours is no
/// news.
pub async fn postpone(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    postponed: &Postponed,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let code_before = turns::store::find_failure(db, issuer, turn).await?;
    turns::store::postpone(db, issuer, turn, postponed).await?;
    let failure = &postponed.failure;
    // None: the turn is somebody else's by now.
    let is_news = code_before.is_some_and(|before| before.as_ref() != Some(&failure.code));
    if !postponed.is_failure || !is_news {
        return Ok(());
    }
    let Some(subject) = store::find_holder(db, &turn.hostname).await? else {
        return Ok(());
    };
    let more = json!({
        "code": failure.code,
        "message": failure.message,
        "remedy": failure.remedy,
        "next_attempt_at": postponed.until,
    });
    tell(db, Kind::CertificateFailed, &subject, more, now).await
}
