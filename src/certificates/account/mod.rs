//! The account at the CA: one for all nodes, and the breaker that stands before it.
//!
//! The key is made first and stored, sealed; whichever node asks first, a CA makes one account a key (RFC 8555 §7.3.1).
pub mod store;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use super::{
    acme::{Ca, CaError, Eab, NewAccount},
    challenges,
    decisions::breaker::{Admission, Breaker},
};
use crate::{
    clock::{self, DatabaseTime},
    sealed::{Keyring, SealError},
};

/// Longer than a registration can take.
const LEASE: TimeDelta = TimeDelta::seconds(40);
const POLL: Duration = Duration::from_millis(200);

/// What the account's key is sealed for.
#[must_use]
pub fn key_context(issuer: &str) -> String {
    format!("acme_accounts.key:{issuer}")
}

/// The account, as it is at one CA.
pub struct Accounts {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub ca: Arc<Ca>,
    pub contact: Option<String>,
    pub eab: Option<Eab>,
    known: Mutex<Option<Arc<Known>>>,
}

/// An account that is registered. Has no `Debug`: it holds a private key.
pub struct Known {
    pub key: Vec<u8>,
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("the key of the ACME account does not open: {0}")]
    Sealed(#[from] SealError),
    #[error("the key of the ACME account can't be used")]
    Key,
    #[error("the account could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl Accounts {
    #[must_use]
    pub fn new(pool: PgPool, keyring: Arc<Keyring>, ca: Arc<Ca>) -> Self {
        Self {
            pool,
            keyring,
            ca,
            contact: None,
            eab: None,
            known: Mutex::default(),
        }
    }

    /// The account, registered by whichever node came first.
    pub async fn registered(&self) -> Result<Arc<Known>, AccountError> {
        if let Some(known) = self.remembered() {
            return Ok(known);
        }
        loop {
            let (key, url) = self.prepared().await?;
            if let Some(url) = url {
                return Ok(self.remember(Known { key, url }));
            }
            let (mut db, now) = clock::acquire(&self.pool).await?;
            let is_claimed = store::claim(&mut db, self.ca.name(), now, now + LEASE).await?;
            drop(db);
            if is_claimed {
                return self.register(key).await;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The key, and where the account is. Made first if there is none: challenges are answered with it before there is
    /// an account.
    async fn prepared(&self) -> Result<(Vec<u8>, Option<String>), AccountError> {
        let (issuer, mut db) = (self.ca.name(), self.pool.acquire().await?);
        let mut found = store::find(&mut db, issuer).await?;
        if found.is_none() {
            let key = rustls_acme::acme::Account::generate_key_pair();
            store::insert(&mut db, issuer, &self.keyring.seal(&key_context(issuer), &key)).await?;
            // Another node may have been quicker: its key counts.
            found = store::find(&mut db, issuer).await?;
        }
        let row = found.ok_or(sqlx::Error::RowNotFound)?;
        Ok((self.keyring.open(&key_context(issuer), &row.key_sealed)?, row.url))
    }

    async fn register(&self, key: Vec<u8>) -> Result<Arc<Known>, AccountError> {
        let new = NewAccount {
            contact: self.contact.as_deref(),
            eab: self.eab.as_ref(),
        };
        let made = self.ca.new_account(&key, &new).await;
        let mut db = self.pool.acquire().await?;
        store::release(&mut db, self.ca.name(), made.as_deref().ok(), self.contact.as_deref()).await?;
        let url = made?;
        tracing::info!(
            acme.directory = self.ca.name(),
            acme.account = url,
            "the ACME account is registered"
        );
        Ok(self.remember(Known { key, url }))
    }

    /// Where it is at the CA, if this node knows.
    pub fn url(&self) -> Option<String> {
        self.remembered().map(|known| known.url.clone())
    }

    /// The CA does not know it any more: it is registered again, with the same key.
    pub async fn forget(&self) -> Result<(), sqlx::Error> {
        let Some(known) = self.remembered() else {
            return Ok(());
        };
        // In the database first: an order that runs beside this one would read it there, and remember it again.
        store::forget_url(&mut *self.pool.acquire().await?, self.ca.name(), &known.url).await?;
        let mut remembered = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.as_ref().is_some_and(|now| Arc::ptr_eq(now, &known)) {
            *remembered = None;
        }
        Ok(())
    }

    /// What a validation of `token` is answered (RFC 8555 §8.1).
    pub async fn key_authorization(&self, token: &str) -> Result<String, AccountError> {
        let (key, _) = self.prepared().await?;
        challenges::key_authorization(&key, token).ok_or(AccountError::Key)
    }

    /// Whether the CA is asked now. Of all nodes, one is let through to find out whether it is back.
    pub async fn admission(&self, now: DatabaseTime) -> Result<Admission, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let Some(breaker) = store::find_breaker(&mut db, self.ca.name()).await? else {
            return Ok(Admission::Open);
        };
        match (breaker.admits(now.get()), breaker.probing(now.get())) {
            (Admission::OneProbe, probing)
                if !store::replace_breaker(&mut db, self.ca.name(), breaker, probing).await? =>
            {
                Ok(Admission::Closed(probing.paused_until.unwrap_or(now.get())))
            }
            (admission, _) => Ok(admission),
        }
    }

    /// The CA failed, or asked to be left alone.
    pub async fn ca_failed(
        &self,
        error: &str,
        (retry_at, admitted): (Option<DateTime<Utc>>, Admission),
        now: DatabaseTime,
    ) -> Result<Breaker, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let before = store::lock_breaker(&mut tx, self.ca.name()).await?;
        let after = before.after_failure(retry_at, admitted, now.get());
        store::set_breaker(&mut tx, self.ca.name(), after, Some(error)).await?;
        tx.commit().await?;
        if let Some(until) = after.paused_until.filter(|until| *until > now) {
            tracing::warn!(acme.directory = self.ca.name(), %until, error, "the CA is left alone");
        }
        Ok(after)
    }

    /// The CA answered as it should.
    pub async fn ca_works(&self, admitted: Admission, now: DatabaseTime) -> Result<(), sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let before = store::find_breaker(&mut db, self.ca.name()).await?.unwrap_or_default();
        let after = before.after_success(admitted, now.get());
        // As a rule there is nothing to write. Whoever was quicker knows better.
        if after != before {
            store::replace_breaker(&mut db, self.ca.name(), before, after).await?;
        }
        Ok(())
    }

    /// Whoever was let through to find out asked nothing.
    pub async fn let_another_probe(&self, now: DatabaseTime) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let before = store::lock_breaker(&mut tx, self.ca.name()).await?;
        let after = before.unprobed(now.get());
        store::replace_breaker(&mut tx, self.ca.name(), before, after).await?;
        tx.commit().await
    }

    fn remembered(&self) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        known
    }
}
