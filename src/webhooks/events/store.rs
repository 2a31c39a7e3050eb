//! Every statement on who wants which event.
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{accounts::Operator, clock::DatabaseTime, outbox::store::Untold};

/// Events, each with the endpoints that want it.
pub async fn list_wanting(
    db: &mut PgConnection,
    _: Operator,
    events: &[Untold],
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select o.outbox_id, e.webhook_endpoint_id
             from outbox o join webhook_endpoints e using (organisation_id)
            where o.outbox_id = any($1) and e.disabled_at is null and o.kind = any(e.events)
              and (e.client_id is null or e.client_id = o.client_id)
            order by o.created_at, o.outbox_id, e.webhook_endpoint_id"#,
        &ids(events),
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.outbox_id, row.webhook_endpoint_id))
        .collect())
}

pub async fn set_told(
    db: &mut PgConnection,
    _: Operator,
    events: &[Untold],
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update outbox set sent_at = $2 where outbox_id = any($1)",
        &ids(events),
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

fn ids(events: &[Untold]) -> Vec<Uuid> {
    events.iter().map(|event| event.outbox_id).collect()
}
