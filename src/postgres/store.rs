//! What a server says of itself.
use sqlx::{Error, PgConnection};

/// How often a replica was promoted before this server took writes ("Timelines" in PostgreSQL's manual). `None`: it is
/// a replica.
pub async fn timeline(db: &mut PgConnection) -> Result<Option<i32>, Error> {
    // The first eight digits of a WAL file's name.
    sqlx::query_scalar!(
        "select case when not pg_is_in_recovery()
                     then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end"
    )
    .fetch_one(db)
    .await
}
