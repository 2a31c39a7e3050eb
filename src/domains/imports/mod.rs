//! Many domains at once: each row is judged by itself, and whether all are kept is decided at the end.
pub mod sheet;

use sqlx::{Acquire, PgConnection};

use super::{
    Allowance, Domain, RegistrationRules,
    intake::{DomainInput, IntakeError},
};
use crate::{accounts::Scope, input::FieldError};

/// Of one import.
pub const MAX_ROWS: usize = 1_000;

/// One row as it was given.
pub struct Row {
    /// As it stands there, if it can be read: it helps to find the row.
    pub hostname: Option<String>,
    pub input: Result<DomainInput, Vec<FieldError>>,
}

/// What became of one row.
pub struct Outcome {
    pub hostname: Option<String>,
    pub registered: Result<Domain, IntakeError>,
}

/// What is kept of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: it is only to be said what would happen.
    DryRun,
    /// All rows, or none.
    AllOrNone,
    /// The rows that can be registered.
    Partial,
}

impl Mode {
    /// Whether the transaction that made `outcomes` is to be committed.
    #[must_use]
    pub fn keeps(self, outcomes: &[Outcome]) -> bool {
        match self {
            Self::DryRun => false,
            Self::Partial => true,
            Self::AllOrNone => outcomes.iter().all(|outcome| outcome.registered.is_ok()),
        }
    }
}

/// Registers what can be, in the caller's transaction. An error is none of a row's, and ends the import.
pub async fn register(
    db: &mut PgConnection,
    own: &RegistrationRules,
    scope: &Scope,
    rows: Vec<Row>,
) -> Result<Vec<Outcome>, IntakeError> {
    let mut allowance = Allowance::find(db, scope, own).await?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        let registered = match row.input {
            Err(errors) => Err(IntakeError::Invalid(errors)),
            Ok(input) => in_a_savepoint(db, own, scope, (input, &mut allowance)).await,
        };
        let outcome = match registered {
            Ok(domain) => Outcome {
                hostname: Some(domain.hostname.clone()),
                registered: Ok(domain),
            },
            // Also a deadlock: with the next row the same two imports would only meet again.
            Err(error) if error.is_no_fault_of_it() => return Err(error),
            Err(error) => Outcome {
                hostname: row.hostname,
                registered: Err(error),
            },
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// A row that fails leaves nothing behind.
async fn in_a_savepoint(
    db: &mut PgConnection,
    own: &RegistrationRules,
    scope: &Scope,
    (input, allowance): (DomainInput, &mut Allowance),
) -> Result<Domain, IntakeError> {
    let mut savepoint = db.begin().await?;
    let registered = input.register_within(&mut savepoint, own, scope, allowance).await;
    match &registered {
        Ok(_) => savepoint.commit().await?,
        Err(_) => savepoint.rollback().await?,
    }
    registered
}
