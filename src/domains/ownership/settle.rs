//! Carries out what [`claims::judge`] says, in the transaction of the look, and writes it down for
//! everybody whom it concerns.
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    claims::{self, Method, Rival, Verdict, Verification, proved_at},
    store::{self, StoredClaim},
};
use crate::{
    accounts::Operator,
    audit,
    clock::DatabaseTime,
    dns::verification::Look,
    domains::{DomainError, subject},
    hostname::Hostname,
};

/// Takes note of one look at the claim of `domain_id`. `None`: the claim has been deleted since.
pub async fn settle(
    db: &mut PgConnection,
    domain_id: Uuid,
    hostname: &Hostname,
    look: &Look,
    now: DatabaseTime,
) -> Result<Option<Verdict>, DomainError> {
    let hand = Operator::checking();
    let mut claims = store::lock_claims(db, hand, hostname).await?;
    let Some(index) = claims.iter().position(|claim| claim.domain_id == domain_id) else {
        return Ok(None);
    };
    let mut own = claims.swap_remove(index);
    own.claim.proof = own.claim.proof.after(look, now.get());
    let scope = hand.scope(own.organisation_id);
    store::update_proof(db, &scope, domain_id, &own.claim.proof, look).await?;

    let holder = claims.iter().find(|claim| claim.claim.verification.is_some());
    let verdict = claims::judge(&own.claim, rival(db, &own, holder, hostname).await?, now.get());
    let verification = Verification {
        at: now.get(),
        method: Method::Dns,
    };
    match verdict {
        Verdict::Stay => {}
        Verdict::Hold => {
            store::hold(db, &scope, domain_id, verification).await?;
            record(db, hand, &own, hostname, "domain.verified").await?;
        }
        Verdict::TakeOverAt(when) => {
            store::set_takes_over(db, &scope, domain_id, Some(when)).await?;
            record(db, hand, &own, hostname, "domain.takes_over").await?;
            if let Some(holder) = holder {
                record(db, hand, holder, hostname, "domain.contested").await?;
            }
        }
        Verdict::TakeOver => {
            if let Some(holder) = holder {
                store::release(db, &hand.scope(holder.organisation_id), holder.domain_id).await?;
                record(db, hand, holder, hostname, "domain.taken_over").await?;
            }
            store::hold(db, &scope, domain_id, verification).await?;
            record(db, hand, &own, hostname, "domain.verified").await?;
        }
        Verdict::CallOff => {
            store::set_takes_over(db, &scope, domain_id, None).await?;
            record(db, hand, &own, hostname, "domain.take_over_called_off").await?;
            if let Some(holder) = holder {
                record(db, hand, holder, hostname, "domain.uncontested").await?;
            }
        }
        Verdict::LetGo => {
            store::release(db, &scope, domain_id).await?;
            bury(db, hand, &own, hostname.as_str(), now).await?;
            record(db, hand, &own, hostname, "domain.ownership_lost").await?;
        }
    }
    Ok(Some(verdict))
}

/// What an operator says of one claim.
pub async fn take_word(
    db: &mut PgConnection,
    operator: Operator,
    hostname: &Hostname,
    organisation_id: Option<Uuid>,
    now: DatabaseTime,
) -> Result<(), DomainError> {
    let claims = store::lock_claims(db, operator, hostname).await?;
    let mut meant = claims
        .iter()
        .filter(|claim| organisation_id.is_none_or(|id| claim.organisation_id == id));
    let own = match (meant.next(), meant.next()) {
        (None, _) => return Err(DomainError::NotFound),
        (Some(own), None) => own,
        (Some(_), Some(_)) => {
            let names = claims
                .iter()
                .map(|claim| format!("{} ({})", claim.organisation_id, claim.organisation));
            return Err(DomainError::SeveralClaims(names.collect::<Vec<_>>().join(", ")));
        }
    };
    for holder in claims
        .iter()
        .filter(|claim| claim.claim.verification.is_some() && claim.domain_id != own.domain_id)
    {
        store::release(db, &operator.scope(holder.organisation_id), holder.domain_id).await?;
        record(db, operator, holder, hostname, "domain.taken_over").await?;
    }
    let verification = Verification {
        // Verifying again is no change of the proof's date.
        at: own.claim.verification.map_or(now.get(), |verification| verification.at),
        method: Method::Operator,
    };
    store::hold(db, &operator.scope(own.organisation_id), own.domain_id, verification).await?;
    record(db, operator, own, hostname, "domain.verified_by_operator").await
}

/// Remembers that `own` held the hostname, so that no forgotten record gives it to somebody else.
async fn bury(
    db: &mut PgConnection,
    hand: Operator,
    own: &StoredClaim,
    hostname: &str,
    now: DatabaseTime,
) -> Result<(), DomainError> {
    let Some(verification) = own.claim.verification else {
        return Ok(());
    };
    let proved_at = proved_at(verification, &own.claim.proof);
    store::insert_tombstone(db, &hand.scope(own.organisation_id), hostname, proved_at, now).await
}

async fn rival(
    db: &mut PgConnection,
    own: &StoredClaim,
    holder: Option<&StoredClaim>,
    hostname: &Hostname,
) -> Result<Rival, DomainError> {
    let held_since = holder.and_then(|holder| {
        let verification = holder.claim.verification?;
        Some(proved_at(verification, &holder.claim.proof))
    });
    let given_up_since = store::find_tombstone(db, hostname)
        .await?
        .filter(|tombstone| tombstone.organisation_id != own.organisation_id)
        .map(|tombstone| tombstone.proved_at);
    Ok(Rival {
        held_since,
        given_up_since,
    })
}

async fn record(
    db: &mut PgConnection,
    hand: Operator,
    claim: &StoredClaim,
    hostname: &Hostname,
    action: &'static str,
) -> Result<(), DomainError> {
    let event = audit::Event {
        action,
        subject: subject(claim.domain_id, hostname.as_str()),
        client_id: Some(claim.client_id),
        details: json!({}),
    };
    audit::record(db, &hand.scope(claim.organisation_id), event).await?;
    Ok(())
}
