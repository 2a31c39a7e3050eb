//! Before an order is placed: one that stands is gone on with; otherwise a place in the budget is taken and the key is
//! stored, and only then the CA is asked.
use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Attempt, Current, Open, Outcome, Reservation, Stop, certified, key_context, store};
use crate::{
    certificates::{
        account,
        acme::certificate_id,
        decisions::{
            breaker::Admission,
            budget::{self, Budget},
            priority::priority,
        },
        failure::Failure,
        turns,
    },
    clock::{self, DatabaseTime},
};

/// An order that is older is nothing to go on with: no CA keeps one longer than a week.
const STALE: TimeDelta = TimeDelta::days(6);
/// Over which those who wait for one place come back.
const SPREAD: TimeDelta = TimeDelta::minutes(10);

impl Attempt<'_> {
    /// The order to go on with. One that no CA remembers is let go.
    pub(super) async fn open(&self, now: DatabaseTime) -> Result<Option<Open>, Stop> {
        let mut db = self.orders.pool.acquire().await?;
        let open = store::find_open(&mut db, self.orders.issuer(), &self.turn.hostname).await?;
        match open {
            Some(open) if now - open.created_at > STALE => {
                store::finish(&mut db, open.order_id, Outcome::GivenUp, now).await?;
                Ok(None)
            }
            open => Ok(open),
        }
    }

    /// Takes a place in the budget and stores the key; only then the CA is asked.
    pub(super) async fn reserve(&self) -> Result<Open, Stop> {
        let (orders, hostname) = (self.orders, &self.turn.hostname);
        let key = certified::new_key()?;
        let order_id = Uuid::now_v7();
        let replaces = self.replaces().await?;
        let registered_domain = budget::registered_domain(hostname).to_owned();
        let (mut tx, now) = clock::begin(&orders.pool).await?;
        store::lock_budget(&mut tx, orders.issuer()).await?;
        if !turns::store::confirm(&mut tx, orders.issuer(), self.turn).await? {
            return Err(Stop::Lost);
        }
        // Others may have found out meanwhile.
        let breaker = account::store::find_breaker(&mut tx, orders.issuer())
            .await?
            .unwrap_or_default();
        if self.admitted == Admission::Open
            && let Admission::Closed(until) = breaker.admits(now.get())
        {
            let failure = Failure::ca_paused(until, now.get());
            return Err(Stop::Wait { failure, until });
        }
        let current = store::find_current(&mut tx, orders.issuer(), hostname).await?;
        self.room(&mut tx, current, replaces.is_some(), now).await?;
        let reservation = Reservation {
            order_id,
            registered_domain,
            key_sealed: orders.keyring.seal(&key_context(order_id), &key),
            replaces,
            profile: orders.profile.clone(),
            created_at: now.get(),
        };
        store::insert(&mut tx, orders.issuer(), hostname, &reservation).await?;
        tx.commit().await?;
        Ok(Open {
            order_id,
            key_sealed: reservation.key_sealed,
            url: None,
            replaces: reservation.replaces,
            profile: reservation.profile,
            created_at: now.get(),
        })
    }

    /// Before anything else is looked at: of thousands that wait for a place, each would look at its name for nothing.
    /// Whether an order is to replace a certificate the CA has to be asked; until then, it does.
    pub(super) async fn look_for_room(&self, now: DatabaseTime) -> Result<(), Stop> {
        let mut db = self.orders.pool.acquire().await?;
        let current = store::find_current(&mut db, self.orders.issuer(), &self.turn.hostname).await?;
        let replaces = current.is_some();
        self.room(&mut db, current, replaces, now).await
    }

    async fn room(
        &self,
        db: &mut PgConnection,
        current: Option<Current>,
        replaces: bool,
        now: DatabaseTime,
    ) -> Result<(), Stop> {
        let (orders, hostname) = (self.orders, &self.turn.hostname);
        let registered_domain = budget::registered_domain(hostname);
        let usage = store::usage(db, orders, hostname, registered_domain, now).await?;
        let wanted = budget::Wanted {
            priority: priority(current.map(|current| current.urgent_at), now.get()),
            replaces,
        };
        let Err(mut wait) = budget::may_order(&orders.limits, &usage, wanted, now.get()) else {
            return Ok(());
        };
        // All who wait for the account's next place would come at once, and again for the one after it.
        if matches!(
            wait.budget,
            Budget::Orders | Budget::OfOrganisation | Budget::OfSelfRegistered
        ) {
            let [draw, ..] = crate::sealed::random::<8>();
            wait.until += SPREAD * i32::from(draw) / 256;
        }
        Err(Stop::Wait {
            failure: Failure::budget_spent(hostname, wait, now.get()),
            until: wait.until,
        })
    }

    /// The certificate that this order replaces (RFC 9773 §5), if the CA cares.
    async fn replaces(&self) -> Result<Option<String>, Stop> {
        if !self.orders.accounts.ca.offers().await?.renewal_info {
            return Ok(None);
        }
        let (mut db, now) = clock::acquire(&self.orders.pool).await?;
        let current = store::find_current(&mut db, self.orders.issuer(), &self.turn.hostname).await?;
        let current = current.filter(|current| current.not_after > now);
        let Some(id) = current.and_then(|current| certificate_id(&current.leaf)) else {
            return Ok(None);
        };
        let was_refused = store::was_replacement_refused(&mut db, self.orders.issuer(), &id).await?;
        Ok((!was_refused).then_some(id))
    }
}
