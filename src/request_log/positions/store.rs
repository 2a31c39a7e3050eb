//! How far each spool was shipped, in the database.
use sqlx::PgConnection;
use uuid::Uuid;

use super::Positions;

/// Where to go on reading a spool. Locks its row, so that two shippers of one spool can't both ship.
pub async fn lock_positions(db: &mut PgConnection, spool_id: Uuid) -> Result<Positions, sqlx::Error> {
    sqlx::query!(
        "insert into spool_positions (spool_id, segment, position) values ($1, 0, 0)
             on conflict (spool_id) do update set updated_at = now()",
        spool_id,
    )
    .execute(&mut *db)
    .await?;
    list_positions(db, spool_id).await
}

/// The same without a lock.
pub async fn list_positions(db: &mut PgConnection, spool_id: Uuid) -> Result<Positions, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select true as "is_floor!", segment as "segment!", position as "position!" from spool_positions where spool_id = $1
           union all
           select false, segment, position from spool_segments where spool_id = $1"#,
        spool_id,
    )
    .fetch_all(db)
    .await?;
    let mut positions = Positions::default();
    for row in rows {
        let (segment, position) = (unsigned(row.segment), unsigned(row.position));
        if row.is_floor {
            positions.floor = segment;
        }
        // The floor's own position is from a time when it was the only one.
        let known = positions.segments.entry(segment).or_default();
        *known = position.max(*known);
    }
    Ok(positions)
}

/// `oldest`: segments before it are no more, and how far they were shipped is forgotten.
pub async fn set_positions(
    db: &mut PgConnection,
    spool_id: Uuid,
    moved: impl IntoIterator<Item = (u64, u64)>,
    oldest: u64,
) -> Result<(), sqlx::Error> {
    let (segments, positions): (Vec<_>, Vec<_>) = moved
        .into_iter()
        .map(|(segment, to)| (signed(segment), signed(to)))
        .unzip();
    sqlx::query!(
        "insert into spool_segments (spool_id, segment, position) select $1, * from unnest($2::bigint[], $3::bigint[])
             on conflict (spool_id, segment) do update set position = excluded.position",
        spool_id,
        &segments,
        &positions,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from spool_segments where spool_id = $1 and segment < $2",
        spool_id,
        signed(oldest)
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update spool_positions set segment = $2, position = 0 where spool_id = $1 and segment < $2",
        spool_id,
        signed(oldest),
    )
    .execute(db)
    .await?;
    Ok(())
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
