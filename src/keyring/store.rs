//! Every statement on `sealing_keys`, and how much is sealed under which key.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Until the end of the transaction.
pub async fn lock(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("lock table sealing_keys in exclusive mode")
        .execute(db)
        .await?;
    Ok(())
}

pub async fn list(db: &mut PgConnection) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select key_id from sealing_keys")
        .fetch_all(db)
        .await
}

pub async fn insert(db: &mut PgConnection, key_id: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into sealing_keys (key_id) values ($1) on conflict do nothing",
        key_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes when a key first seals.
pub async fn begin_sealing(db: &mut PgConnection, key_id: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sealing_keys set sealing_since = clock_timestamp() where key_id = $1 and sealing_since is null",
        key_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether no other key has begun to seal since this one did.
pub async fn is_newest(db: &mut PgConnection, key_id: &[u8]) -> Result<bool, sqlx::Error> {
    let newest = sqlx::query_scalar!(
        "select key_id from sealing_keys where sealing_since is not null order by sealing_since desc, key_id limit 1"
    )
    .fetch_optional(db)
    .await?;
    Ok(newest.as_deref() == Some(key_id))
}

/// Takes the work of one key until the end of the transaction. `false`: another node has it.
pub async fn claim(db: &mut PgConnection, key_id: &[u8]) -> Result<bool, sqlx::Error> {
    let claimed = sqlx::query_scalar!(
        "select key_id from sealing_keys where key_id = $1 for update skip locked",
        key_id
    )
    .fetch_optional(db)
    .await?;
    Ok(claimed.is_some())
}

/// When everything had last come under this key.
pub async fn resealed_at(db: &mut PgConnection, key_id: &[u8]) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let found = sqlx::query_scalar!("select resealed_at from sealing_keys where key_id = $1", key_id)
        .fetch_optional(db)
        .await?;
    Ok(found.flatten())
}

pub async fn complete(db: &mut PgConnection, key_id: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sealing_keys set resealed_at = clock_timestamp() where key_id = $1",
        key_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Rows of a table that are sealed under one key.
pub struct Usage {
    pub table: String,
    pub key_id: Vec<u8>,
    pub rows: i64,
}

/// Reads every sealed value's head: by table and key.
pub async fn usage(db: &mut PgConnection) -> Result<Vec<Usage>, sqlx::Error> {
    sqlx::query_as!(
        Usage,
        r#"select "table" as "table!", key_id as "key_id!", count(*) as "rows!"
             from (select 'certificates' as "table", substring(key_sealed from 2 for 4) as key_id from certificates
                    union all
                   select 'acme_accounts', substring(key_sealed from 2 for 4) from acme_accounts
                    union all
                   select 'acme_orders', substring(key_sealed from 2 for 4) from acme_orders where key_sealed is not null
                    union all
                   select 'organisations', substring(user_digest_key from 2 for 4) from organisations
                    union all
                   select 'users', substring(email_sealed from 2 for 4) from users
                    union all
                   select 'user_names', substring(name_sealed from 2 for 4) from users where name_sealed is not null
                    union all
                   select 'registrations', substring(sealed from 2 for 4) from registrations
                    union all
                   select 'invitations', substring(email_sealed from 2 for 4) from invitations
                    union all
                   select 'outbox', substring(sealed from 2 for 4) from outbox where sealed is not null
                    union all
                   select 'second_factors', substring(secret_sealed from 2 for 4) from second_factors
                    union all
                   select 'email_changes', substring(email_sealed from 2 for 4) from email_changes
                    union all
                   select 'webhook_secrets', substring(secret_sealed from 2 for 4) from webhook_endpoints
                    union all
                   select 'old_webhook_secrets', substring(old_secret_sealed from 2 for 4) from webhook_endpoints where old_secret_sealed is not null
                    union all
                   select 'client_secrets', substring(client_secret_sealed from 2 for 4) from identity_providers
                    union all
                   select 'single_sign_on_attempts', substring(sealed from 2 for 4) from single_sign_on_attempts
                    union all
                   select 'secrets', substring(sealed from 2 for 4) from secrets
                    union all
                   select 'idempotency_keys', substring(answer_sealed from 2 for 4) from idempotency_keys
                    where answer_sealed is not null) sealed
            group by 1, 2
            order by 1, 2"#
    )
    .fetch_all(db)
    .await
}
