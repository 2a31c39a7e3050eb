//! Proof of a mail domain for single sign-on. Proof of a domain for discovery is no proof of its mailboxes: an
//! organisation whose provider may say who `ceo@contoso.com` is needs a TXT record for just that, which
//! no operator's word replaces.
//!
//! The record is looked up when the provider is saved, when an admin asks for it, and regularly. A lookup without an
//! answer changes nothing. Providers from before the record was demanded have until `grace_until`.
mod notice;
pub mod record;
pub mod store;

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::SingleSignOnError;
use crate::{
    accounts::{Operator, Scope, people},
    audit,
    dns::{
        Dns,
        verification::{Look, VerificationRecord},
    },
    mail::Mail,
    outbox,
    sealed::Keyring,
    work::{clock_watch::ClockWatch, fair::FairShare},
};
use record::{Change, record_name, record_value};
use store::{Due, Looked, Missing};

const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Longer than a lookup takes with its retries.
const LEASE: TimeDelta = TimeDelta::minutes(2);
/// Lookups of one round. One that gets no answer takes 10 seconds.
const BATCH_SIZE: i64 = 32;
const MAX_LOOKUPS_AT_ONCE: usize = 32;
/// How long somebody waits for the lookups that they asked for; the worker does the rest.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);
/// Organisations that wait for lookups they asked for.
const MAX_CHECKS_ASKED_FOR: usize = 16;
/// A record that is there no more may be back soon: its DNS host edits the zone.
const NOTICE_AFTER: TimeDelta = TimeDelta::hours(12);

/// Looks the records up.
pub struct MailDomains {
    pool: PgPool,
    dns: Dns,
    keyring: Arc<Keyring>,
    /// Mails link to it.
    portal_url: String,
    places: FairShare<Uuid>,
}

impl MailDomains {
    #[must_use]
    pub fn new(pool: PgPool, dns: Dns, keyring: Arc<Keyring>, portal_url: String) -> Self {
        Self {
            pool,
            dns,
            keyring,
            portal_url,
            places: FairShare::new(MAX_CHECKS_ASKED_FOR),
        }
    }

    /// Looks up the records of the scope's organisation now.
    ///
    /// # Errors
    /// [`SingleSignOnError::Busy`] if a check of the organisation runs already, or too many of others.
    pub async fn check_now(&self, scope: &Scope) -> Result<(), SingleSignOnError> {
        let place = self.places.try_take(scope.organisation_id());
        let _place = place.ok_or(SingleSignOnError::Busy)?;
        let due = self.claim(Some(scope.organisation_id()), i64::MAX).await?;
        let checked = tokio::time::timeout(CHECK_TIMEOUT, self.check_all(due)).await;
        checked.unwrap_or(Ok(()))
    }

    /// Runs until `cancel`.
    pub async fn run(self: Arc<Self>, clock: Arc<ClockWatch>, cancel: CancellationToken) {
        loop {
            let round = async {
                clock.wait_until_trusted().await;
                self.round().await
            };
            let checked = tokio::select! {
                () = cancel.cancelled() => return,
                checked = round => checked,
            };
            match checked {
                Ok(checked) if checked >= BATCH_SIZE.unsigned_abs() => continue,
                Ok(_) => {}
                Err(error) => crate::telemetry::log_failed_work("could not check the single sign-on records", error),
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Returns how many records were looked up.
    async fn round(&self) -> Result<u64, SingleSignOnError> {
        store::reset_lost(&mut *self.pool.acquire().await?, Operator::checking()).await?;
        let due = self.claim(None, BATCH_SIZE).await?;
        let count = due.len() as u64;
        self.check_all(due).await?;
        self.notify().await?;
        Ok(count)
    }

    async fn claim(&self, organisation_id: Option<Uuid>, limit: i64) -> Result<Vec<Due>, SingleSignOnError> {
        let (mut db, now) = crate::clock::acquire(&self.pool).await?;
        let times = (now, now + LEASE);
        Ok(store::claim(&mut db, Operator::checking(), organisation_id, times, limit).await?)
    }

    async fn check_all(&self, due: Vec<Due>) -> Result<(), SingleSignOnError> {
        let checks = due.into_iter().map(|due| self.check(due));
        let mut checks = stream::iter(checks).buffer_unordered(MAX_LOOKUPS_AT_ONCE);
        let mut outcome = Ok(());
        // One that fails keeps the others from nothing; its lease ends.
        while let Some(checked) = checks.next().await {
            outcome = outcome.and(checked);
        }
        outcome
    }

    async fn check(&self, due: Due) -> Result<(), SingleSignOnError> {
        let record = VerificationRecord {
            hostname: &due.hostname,
            name: &record_name(&due.hostname),
            value: &record_value(&due.ownership_key, &due.hostname),
        };
        let look = self.dns.verification(record, due.is_proved).await;
        self.apply(&due, &look).await
    }

    async fn apply(&self, due: &Due, look: &Look) -> Result<(), SingleSignOnError> {
        let scope = Operator::checking().scope(due.organisation_id);
        let (mut tx, now) = crate::clock::begin(&self.pool).await?;
        let stored = store::lock(&mut tx, &scope, due.identity_provider_id, &due.hostname).await?;
        // Taken out meanwhile.
        let Some(stored) = stored else { return Ok(()) };
        let (state, change) = stored.state.after(look, now.get());
        let looked = Looked {
            identity_provider_id: due.identity_provider_id,
            hostname: &due.hostname,
            look,
            state,
            next_check_at: state.next_check_at(stored.added_at, now.get()),
        };
        store::update(&mut tx, &scope, &looked, now).await?;
        let action = match change {
            Change::None => None,
            Change::Proved => Some("identity_provider.domain_proved"),
            Change::Lost => Some("identity_provider.domain_lost"),
        };
        if let Some(action) = action {
            let subject = audit::Subject {
                kind: "identity_provider",
                id: due.identity_provider_id,
                name: due.hostname.clone(),
            };
            let event = audit::Event {
                action,
                subject,
                client_id: None,
                details: json!({ "hostname": due.hostname }),
            };
            audit::record(&mut tx, &scope, event).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Sends one mail to each owner and admin of an organisation with records that are missing.
    async fn notify(&self) -> Result<(), SingleSignOnError> {
        let (mut tx, now) = crate::clock::begin(&self.pool).await?;
        let mut missing = store::take_missing(&mut tx, Operator::checking(), now - NOTICE_AFTER, now).await?;
        missing.sort_by(|one, two| (one.organisation_id, &one.hostname).cmp(&(two.organisation_id, &two.hostname)));
        for of_one in missing.chunk_by(|one, two| one.organisation_id == two.organisation_id) {
            let of_one: Vec<&Missing> = of_one.iter().collect();
            let Some(organisation_id) = of_one.first().map(|missing| missing.organisation_id) else {
                continue;
            };
            let (subject, text) = notice::write(&self.portal_url, &of_one);
            let scope = Operator::checking().scope(organisation_id);
            for person in people::administrators(&mut tx, &self.keyring, &scope).await? {
                let mail = Mail {
                    to: person.email.expose().to_owned(),
                    subject: subject.clone(),
                    text: text.clone(),
                };
                outbox::post(&mut tx, &self.keyring, Some(organisation_id), &mail, now).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// A mail domain whose people the organisation's provider signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailDomain {
    pub hostname: String,
    /// Whether the organisation holds the domain now.
    pub is_held: bool,
    pub record_name: String,
    pub record_value: String,
    /// Set: the record was found, and has not been missing for [`record::LOST_AFTER`].
    pub proved_at: Option<chrono::DateTime<Utc>>,
    /// Until then people are signed in without the record.
    pub grace_until: Option<chrono::DateTime<Utc>>,
    /// The last lookup that had an answer, and what the answer held.
    pub checked_at: Option<chrono::DateTime<Utc>>,
    pub observed: Vec<String>,
    /// Another name, at which the value was put by mistake.
    pub misplaced: Option<String>,
    pub missing_since: Option<chrono::DateTime<Utc>>,
}

impl MailDomain {
    /// Whether the organisation holds the domain and its record was found.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.is_held && self.proved_at.is_some()
    }

    /// Whether people of it are signed in.
    #[must_use]
    pub fn signs_in(&self, now: chrono::DateTime<Utc>) -> bool {
        self.is_held && (self.proved_at.is_some() || self.grace_until.is_some_and(|until| until > now))
    }
}
