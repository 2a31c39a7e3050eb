//! What follows from the end of an attempt: when the hostname is tried again, and whether the CA is left alone.
use chrono::{DateTime, TimeDelta, Utc};

use super::{Attempt, Orders, Stop};
use crate::{
    certificates::{
        acme::CaError,
        decisions::{
            back_off::{self, Failed},
            breaker::Admission,
        },
        failure::{self, Culprit, During, Failure},
        told,
        turns::{Postponed, Turn},
    },
    clock::{self, DatabaseTime},
};

/// Between two looks at a host of our own that is not ready.
const OWN: TimeDelta = TimeDelta::minutes(1);
/// Before a validation that the CA has not ended is asked after again.
const PENDING: TimeDelta = TimeDelta::minutes(5);
/// For what is nobody's fault: where it lasts, the breaker makes it longer.
const SOON: TimeDelta = TimeDelta::seconds(5);
/// For a key that does not open: another node may have it, or an operator has to act.
const UNOPENED: TimeDelta = TimeDelta::minutes(10);

impl Orders {
    /// What follows from how `attempt` ended.
    pub async fn settle(&self, attempt: &Attempt<'_>, ended: Result<(), Stop>) -> Result<(), sqlx::Error> {
        let turn = attempt.turn;
        let now = clock::read(&self.pool).await?;
        let stop = match ended {
            Ok(()) => return self.accounts.ca_works(attempt.admitted, now).await,
            Err(Stop::Lost) => return Ok(()),
            Err(stop) => stop,
        };
        let postponed = self.judge(attempt, stop, now).await?;
        tracing::warn!(
            domain.hostname = turn.hostname,
            code = postponed.failure.code,
            until = %postponed.until,
            reason = %postponed.failure,
            ca.said = postponed.failure.ca.as_ref().map(|ca| format!("{}: {}", ca.kind, ca.detail)),
            "no certificate"
        );
        let (mut tx, now) = clock::begin(&self.pool).await?;
        told::postpone(&mut tx, self.issuer(), turn, &postponed, now).await?;
        tx.commit().await
    }

    async fn judge(&self, attempt: &Attempt<'_>, stop: Stop, now: DatabaseTime) -> Result<Postponed, sqlx::Error> {
        let (turn, admitted) = (attempt.turn, attempt.admitted);
        let (error, during) = match stop {
            Stop::Preflight(failure) => {
                self.give_up_probe(admitted, now).await?;
                return Ok(fails(turn, Failed::PreFlight, failure, None, now.get()));
            }
            Stop::Wait { failure, until } => {
                self.give_up_probe(admitted, now).await?;
                return Ok(waits(turn, failure, until));
            }
            // The CA answers, and still looks: at a name whose own servers may be what keeps it. Were that taken for
            // trouble of the CA's, three such names would hold up all others.
            Stop::Slow => {
                self.accounts.ca_works(admitted, now).await?;
                let (failure, _) = failure::of(&CaError::Timeout, &turn.hostname, During::Order, now.get());
                return Ok(waits(turn, failure, now.get() + PENDING));
            }
            Stop::Ca(error, during) => (error, during),
            Stop::Invalid(problem) => (CaError::Refused(problem), During::Order),
            Stop::Unusable(what) => (CaError::Malformed(what), During::Order),
            Stop::Lost | Stop::Sealed(_) | Stop::Database(_) => {
                let until = match &stop {
                    Stop::Sealed(_) => now + UNOPENED,
                    _ => now + SOON,
                };
                let error = anyhow::Error::new(stop);
                tracing::warn!(
                    domain.hostname = turn.hostname,
                    error = crate::telemetry::one_line(&error),
                    "an order waits"
                );
                return Ok(waits(turn, Failure::of_us(&error.to_string(), now.get()), until.get()));
            }
        };
        let (failure, culprit) = failure::of(&error, &turn.hostname, during, now.get());
        let retry_at = failure::retry_at(&error);
        match culprit {
            Culprit::Ca | Culprit::Account => {
                if let CaError::Refused(problem) = &error
                    && problem.kind == "accountDoesNotExist"
                {
                    self.accounts.forget().await?;
                }
                let why = error.to_string();
                let breaker = self.accounts.ca_failed(&why, (retry_at, admitted), now).await?;
                Ok(waits(
                    turn,
                    failure,
                    breaker.paused_until.unwrap_or(now.get()).max(now.get() + SOON),
                ))
            }
            Culprit::Name | Culprit::Us | Culprit::Order => {
                self.accounts.ca_works(admitted, now).await?;
                Ok(fails(turn, Failed::Order, failure, retry_at, now.get()))
            }
        }
    }

    /// It was to find out whether the CA is back, and did not ask: another may.
    pub async fn give_up_probe(&self, admitted: Admission, now: DatabaseTime) -> Result<(), sqlx::Error> {
        match admitted {
            Admission::OneProbe => self.accounts.let_another_probe(now).await,
            Admission::Open | Admission::Closed(_) => Ok(()),
        }
    }
}

/// The next one waits longer.
fn fails(
    turn: &Turn,
    failed: Failed,
    failure: Failure,
    retry_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Postponed {
    let is_another_kind = turn.was_preflight != (failed == Failed::PreFlight);
    let attempts = match is_another_kind {
        true => 1,
        false => turn.attempts.saturating_add(1),
    };
    let facts = back_off::Facts {
        hostname: &turn.hostname,
        failed,
        failures: u32::try_from(attempts).unwrap_or(1),
        retry_at,
        is_urgent: turn.is_urgent,
    };
    Postponed {
        // Nobody looks at our own hosts in between.
        until: match turn.own && failed == Failed::PreFlight {
            true => now + OWN,
            false => back_off::next_attempt(&facts, now),
        },
        failure,
        attempts,
        is_preflight: failed == Failed::PreFlight,
        is_failure: true,
    }
}

/// No fault of the hostname's: its count of failures stays.
fn waits(turn: &Turn, failure: Failure, until: DateTime<Utc>) -> Postponed {
    Postponed {
        failure,
        until,
        attempts: turn.attempts,
        is_preflight: false,
        is_failure: false,
    }
}
