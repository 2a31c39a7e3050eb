//! Deletes much in small steps, each in a transaction of its own: what is done stays done, and nobody waits for long.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    erasure::{
        self,
        gone::{self, Gone},
        store::Person,
    },
    partitions,
};
use crate::clock::DatabaseTime;

/// Rows that one statement deletes.
const BATCH: i64 = 5_000;

pub enum Deletion<'a> {
    /// Of unknown domains, before a time.
    Strangers(DatabaseTime),
    /// Before a time.
    Organisation(Uuid, DateTime<Utc>),
    Client {
        organisation_id: Uuid,
        client_id: Uuid,
    },
    /// Within one day.
    Person(&'a Person, (DateTime<Utc>, DateTime<Utc>)),
    /// The oldest hour of who is gone; its counts as well.
    Hours(Gone),
    /// Before a time.
    Counts(DatabaseTime),
    Totals(DatabaseTime),
}

impl Deletion<'_> {
    /// Until nothing is left. Returns rows.
    pub async fn delete(&self, pool: &PgPool) -> Result<u64, sqlx::Error> {
        let mut all = 0;
        loop {
            let mut tx = pool.begin().await?;
            crate::postgres::lift_timeouts(&mut tx).await?;
            let rows = self.step(&mut tx).await?;
            tx.commit().await?;
            if rows == 0 {
                return Ok(all);
            }
            all += rows;
        }
    }

    async fn step(&self, db: &mut PgConnection) -> Result<u64, sqlx::Error> {
        match *self {
            Self::Strangers(before) => partitions::store::delete_strangers(db, before, BATCH).await,
            Self::Organisation(id, before) => gone::store::delete_of_organisation(db, id, before, BATCH).await,
            Self::Client {
                organisation_id,
                client_id,
            } => gone::store::delete_of_client(db, organisation_id, client_id, BATCH).await,
            Self::Person(person, day) => {
                let rows = erasure::store::delete_of_person(db, person, day, BATCH).await?;
                erasure::store::add_erased(db, person.erasure_id, rows).await?;
                Ok(rows)
            }
            Self::Hours(gone) => gone::erase_hour(db, gone).await,
            Self::Counts(before) => partitions::store::delete_counts(db, before, BATCH).await,
            Self::Totals(before) => partitions::store::delete_totals(db, before, BATCH).await,
        }
    }
}
