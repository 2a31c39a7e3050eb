//! Every statement that makes or ends a node. Whether one lives is told by the database's clock alone: nodes' clocks differ.
use sqlx::PgConnection;
use uuid::Uuid;

/// One that was not seen for this long is forgotten.
const DEAD_SECONDS: f64 = 600.0;

/// Says that the node lives, and forgets those that long don't.
pub async fn beat(db: &mut PgConnection, node_id: Uuid, issuer: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with dead as (
             delete from nodes where seen_at < now() - make_interval(secs => $2) and node_id <> $1)
         insert into nodes (node_id, issuer, started_at, seen_at) values ($1, $3, now(), now())
             on conflict (node_id) do update set seen_at = excluded.seen_at",
        node_id,
        DEAD_SECONDS,
        issuer,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The node is about to end: nobody waits for it.
pub async fn leave(db: &mut PgConnection, node_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from nodes where node_id = $1", node_id)
        .execute(db)
        .await?;
    Ok(())
}
