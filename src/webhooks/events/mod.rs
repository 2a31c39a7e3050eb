//! Hands events from the outbox to the endpoints that want them: in one transaction, so that each gets each event once.
mod store;

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Kind,
    deliveries::store::{New, insert},
    mails,
};
use crate::{
    accounts::Operator,
    clock::DatabaseTime,
    outbox::store::{Untold, lock_untold},
    sealed::Keyring,
};

const AT_ONCE: i64 = 200;

/// Standard Webhooks 1.0, "Payload structure".
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a Value,
}

/// What is sent, byte for byte.
#[must_use]
pub fn payload(r#type: &str, at: DateTime<Utc>, data: &Value) -> String {
    let payload = Payload {
        r#type,
        timestamp: at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        data,
    };
    serde_json::to_string(&payload).expect("texts and JSON are JSON")
}

pub struct Events {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    /// For the links in mails.
    pub portal_url: String,
}

impl Events {
    /// Returns how many were handed on.
    pub async fn hand_on(&self, now: DatabaseTime) -> Result<usize, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let untold = lock_untold(&mut tx, AT_ONCE).await?;
        if untold.is_empty() {
            return Ok(0);
        }
        let wanting = store::list_wanting(&mut tx, Operator::checking(), &untold).await?;
        let new: Vec<_> = wanting
            .into_iter()
            .filter_map(|(event_id, endpoint_id)| new(&untold, event_id, endpoint_id))
            .collect();
        insert(&mut tx, &new, now).await?;
        let is_expiring = |event: &&Untold| Kind::parse(&event.kind) == Some(Kind::CertificateExpiring);
        let expiring: Vec<_> = untold.iter().filter(is_expiring).collect();
        mails::certificates_expire(&mut tx, (&self.keyring, &self.portal_url), &expiring, now).await?;
        store::set_told(&mut tx, Operator::checking(), &untold, now).await?;
        tx.commit().await?;
        Ok(untold.len())
    }
}

fn new(untold: &[Untold], event_id: Uuid, endpoint_id: Uuid) -> Option<New> {
    let event = untold.iter().find(|event| event.outbox_id == event_id)?;
    Some(New {
        delivery_id: Uuid::now_v7(),
        organisation_id: event.organisation_id?,
        endpoint_id,
        event_id,
        event_type: event.kind.clone(),
        payload: payload(&event.kind, event.created_at, &event.payload),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_type_time_and_data() {
        let at = DateTime::from_timestamp_micros(1_795_418_356_123_456).unwrap();
        assert_eq!(
            payload(
                "domain.status_changed",
                at,
                &serde_json::json!({"hostname": "contoso.com"})
            ),
            r#"{"type":"domain.status_changed","timestamp":"2026-11-23T07:19:16.123456Z","data":{"hostname":"contoso.com"}}"#
        );
    }
}
