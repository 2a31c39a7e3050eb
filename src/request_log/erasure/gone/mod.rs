//! Erases the requests and counts of organisations and clients that were deleted. Nobody has to remember them: totals
//! whose organisation or client is no more say what is left, they are written with every request, and they go last.
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::request_log::deletion::Deletion;

/// Who has left something behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Organisation(Uuid),
    Client { organisation_id: Uuid, client_id: Uuid },
}

/// Erases all that is left of whom is gone. Several nodes may do it at once, and who dies is followed by another. What a
/// spool brings later is found the next time. Returns rows of requests.
pub async fn run(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let mut erased = 0;
    let gone = store::list_gone(&mut *pool.acquire().await?).await?;
    for gone in gone {
        let rows = match gone {
            Gone::Organisation(id) => Deletion::Organisation(id, DateTime::<Utc>::MAX_UTC),
            Gone::Client {
                organisation_id,
                client_id,
            } => Deletion::Client {
                organisation_id,
                client_id,
            },
        };
        erased += rows.delete(pool).await?;
        Deletion::Hours(gone).delete(pool).await?;
    }
    Ok(erased)
}

/// The oldest hour that is left: its totals, its counts, and rows that were shipped since they were deleted. In this
/// order: totals that are found were committed with their rows, so these are seen after them. `0`: there was none.
pub(in crate::request_log) async fn erase_hour(db: &mut PgConnection, gone: Gone) -> Result<u64, sqlx::Error> {
    let Some(hour) = store::first_hour(db, gone).await? else {
        return Ok(0);
    };
    match gone {
        Gone::Organisation(organisation_id) => {
            store::delete_totals_of_organisation(db, organisation_id, hour).await?;
            store::delete_hour_of_organisation(db, organisation_id, hour).await?;
        }
        Gone::Client {
            organisation_id,
            client_id,
        } => {
            store::delete_totals_of_client(db, organisation_id, client_id, hour).await?;
            store::delete_hour_of_client(db, organisation_id, client_id, hour).await?;
        }
    }
    Ok(1)
}
