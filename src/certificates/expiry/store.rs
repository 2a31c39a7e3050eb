//! Every statement on warnings of expiry.
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{clock::DatabaseTime, outbox::event::Kind};

/// A certificate that should have been renewed by now.
pub struct Expiring {
    pub certificate_id: Uuid,
    pub organisation_id: Option<Uuid>,
    pub client_id: Option<Uuid>,
    pub domain_id: Option<Uuid>,
    pub hostname: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub last_error: Option<String>,
}

/// Of domains that are still served, and of our own hosts; a certificate that is gone on with only.
pub async fn list_urgent(db: &mut PgConnection, issuer: &str, now: DatabaseTime) -> Result<Vec<Expiring>, sqlx::Error> {
    sqlx::query_as!(
        Expiring,
        r#"select c.certificate_id, c.organisation_id, d.client_id as "client_id?", c.domain_id, c.hostname, c.not_before, c.not_after, l.last_error
           from certificates c
           left join domains d on d.domain_id = c.domain_id
           join certificate_leases l on l.hostname = c.hostname and l.issuer = c.issuer
          where c.issuer = $1 and c.urgent_at <= $2
            and not exists (select from outbox b where b.kind = 'certificate.expiring' and b.once = c.certificate_id::text)
          order by c.not_after limit 1000"#,
        issuer,
        now.get(),
    )
    .fetch_all(db)
    .await
}

/// `false`: it is there already.
pub async fn insert(db: &mut PgConnection, expiring: &Expiring) -> Result<bool, sqlx::Error> {
    let payload = json!({
        "domain_id": expiring.domain_id,
        "hostname": expiring.hostname,
        "client_id": expiring.client_id,
        "not_after": expiring.not_after,
        "last_error": expiring.last_error,
    });
    let inserted = sqlx::query!(
        "insert into outbox (outbox_id, organisation_id, client_id, kind, once, payload)
         values ($1, $2, $3, $4, $5, $6)
             on conflict on constraint outbox_once_key do nothing",
        Uuid::now_v7(),
        expiring.organisation_id,
        expiring.client_id,
        Kind::CertificateExpiring.as_str(),
        expiring.certificate_id.to_string(),
        payload,
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
