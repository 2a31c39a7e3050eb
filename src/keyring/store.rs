//! Every statement on `sealing_keys`.
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
