//! One attempt at one hostname, from the last stored step on, under a turn that is kept while it lasts.
use chrono::{DateTime, TimeDelta, Utc};
use rustls_acme::acme::{Order, OrderStatus};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Open, Orders, Outcome, Stop, certified, key_context, store, validation};
use crate::sealed::SealError;
use crate::{
    certificates::{
        acme::{CaError, NewOrder, Placed, Problem, Session},
        challenges,
        decisions::{breaker::Admission, lifetime, renewal},
        failure::During,
        key_context as certificate_key_context,
        store::NewCertificate,
        turns::{self, Turn},
    },
    clock::{self, DatabaseTime},
};

/// How long a CA may take to make a certificate, before somebody looks again later.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);
/// An order that is still at it after this hangs for good: another is made.
const HANGS: TimeDelta = TimeDelta::hours(1);

/// What an attempt is at.
pub struct Attempt<'a> {
    pub orders: &'a Orders,
    pub turn: &'a Turn,
    /// How it got past the breaker.
    pub admitted: Admission,
}

/// A certificate as the CA gave it. Has no `Debug`: the key is in it.
struct Obtained {
    order_id: Uuid,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
    validity: (DateTime<Utc>, DateTime<Utc>),
    profile: Option<String>,
}

impl Attempt<'_> {
    /// Ends with a stored certificate, or with the reason why not.
    pub async fn run(&self, now: DatabaseTime) -> Result<(), Stop> {
        let open = self.open(now).await?;
        if open.is_none() {
            self.look_for_room(now).await?;
        }
        self.orders.look_first(&self.turn.hostname, now).await?;
        let account = self.orders.accounts.registered().await?;
        let session = self.orders.accounts.ca.account(&account.key, &account.url)?;
        let (open, is_resumed) = match open {
            Some(open) => (open, true),
            None => (self.reserve().await?, false),
        };
        let obtained = self.obtain(&session, &open, is_resumed).await;
        match obtained {
            Ok(obtained) => self.keep(obtained).await,
            Err(stop) => {
                self.close(&open, &stop).await?;
                Err(stop)
            }
        }
    }

    async fn obtain(&self, session: &Session<'_>, open: &Open, is_resumed: bool) -> Result<Obtained, Stop> {
        let (hostname, key) = (
            &self.turn.hostname,
            self.orders
                .keyring
                .open(&key_context(open.order_id), &open.key_sealed)?,
        );
        let Placed { url, order } = self.place(session, open, is_resumed).await?;
        let certificate = self.finalize(session, (&url, order), &key).await?;
        let chain = session.certificate(&certificate).await?;
        let now = clock::read(&self.orders.pool).await?;
        let validity = certified::validity(&chain, hostname, &key, now.get())?;
        Ok(Obtained {
            order_id: open.order_id,
            chain,
            key,
            validity,
            profile: open.profile.clone(),
        })
    }

    /// The order at the CA: the one that was placed before, or a new one, its URL stored.
    async fn place(&self, session: &Session<'_>, open: &Open, is_resumed: bool) -> Result<Placed, Stop> {
        if let Some(url) = &open.url {
            let order = session.order(url).await?.value;
            return Ok(Placed {
                url: url.clone(),
                order,
            });
        }
        let lost = match is_resumed {
            true => self.find_lost(session).await?,
            false => None,
        };
        let placed = if let Some(placed) = lost {
            placed
        } else {
            let new = NewOrder {
                hostname: &self.turn.hostname,
                profile: open.profile.as_deref(),
                replaces: open.replaces.as_deref(),
            };
            let during = During::NewOrder {
                replaces: new.replaces.is_some(),
            };
            let placed = session.new_order(&new).await;
            placed.map_err(|error| Stop::Ca(error, during))?
        };
        let mut db = self.orders.pool.acquire().await?;
        let is_ours = store::set_url(&mut db, self.orders.issuer(), self.turn, open.order_id, &placed.url).await?;
        if is_ours { Ok(placed) } else { Err(Stop::Lost) }
    }

    /// An order whose answer never came: the account lists it (RFC 8555 §7.1.2.1), and we know it not. A CA that
    /// keeps no list gives the same order again instead.
    async fn find_lost(&self, session: &Session<'_>) -> Result<Option<Placed>, Stop> {
        let listed = session.orders().await?;
        let mut db = self.orders.pool.acquire().await?;
        let unknown = store::list_unknown(&mut db, self.orders.issuer(), &listed).await?;
        drop(db);
        Ok(session.unfinished(&self.turn.hostname, &unknown).await?)
    }

    /// Until the certificate is made. Returns where it is.
    async fn finalize(
        &self,
        session: &Session<'_>,
        (url, mut order): (&str, Order),
        key: &[u8],
    ) -> Result<String, Stop> {
        let deadline = Instant::now() + PATIENCE;
        let (mut asked, mut told) = (0, None);
        loop {
            match order.status {
                OrderStatus::Valid { certificate } => return Ok(certificate),
                OrderStatus::Invalid => return Err(Stop::Invalid(self.why(session, &order).await)),
                OrderStatus::Pending => {
                    self.orders.validate(session, &self.turn.hostname, &order).await?;
                    order = session.order(url).await?.value;
                    // Validated, and not ready yet: as good as processing.
                    if !matches!(order.status, OrderStatus::Pending) {
                        continue;
                    }
                }
                OrderStatus::Ready => {
                    let request = certified::request(&self.turn.hostname, key)?;
                    let polled = session.finalize(&order.finalize, &request).await?;
                    (order, told) = (polled.value, polled.retry_after);
                    if matches!(order.status, OrderStatus::Valid { .. } | OrderStatus::Invalid) {
                        continue;
                    }
                }
                OrderStatus::Processing => {}
            }
            if Instant::now() >= deadline {
                return Err(Stop::Slow);
            }
            tokio::time::sleep(validation::pause(asked, told)).await;
            asked += 1;
            let polled = session.order(url).await?;
            (order, told) = (polled.value, polled.retry_after);
        }
    }

    /// The CA's words for an order that is invalid: its own, or those of the authorization that failed.
    async fn why(&self, session: &Session<'_>, order: &Order) -> Problem {
        for url in &order.authorizations {
            if let Ok(polled) = session.authorization(url).await
                && let Some(problem) = polled.value.problem()
            {
                return problem.clone();
            }
        }
        order.error.as_ref().map_or_else(validation::unknown, Problem::from)
    }

    /// Stores the certificate, if the turn is still ours and the hostname still somebody's.
    async fn keep(&self, obtained: Obtained) -> Result<(), Stop> {
        let (issuer, hostname) = (self.orders.issuer(), &self.turn.hostname);
        let (not_before, not_after) = obtained.validity;
        let (renews_at, urgent_at) = (
            lifetime::renews_at(not_before, not_after),
            lifetime::urgent_at(not_before, not_after),
        );
        let (mut tx, now) = clock::begin(&self.orders.pool).await?;
        let new = NewCertificate {
            chain: obtained.chain,
            key_sealed: self
                .orders
                .keyring
                .seal(&certificate_key_context(hostname, issuer), &obtained.key),
            not_before,
            not_after,
            renews_at,
            urgent_at,
            profile: obtained.profile,
            suggestion_due_at: Some(now.get()),
        };
        crate::certificates::store::lock_holder(&mut tx, hostname).await?;
        if !turns::store::done(&mut tx, issuer, self.turn, renewal::due_at(renews_at, urgent_at)).await? {
            return Err(Stop::Lost);
        }
        crate::certificates::told::put(&mut tx, issuer, self.turn, &new, now).await?;
        store::finish(&mut tx, obtained.order_id, Outcome::Issued, now).await?;
        challenges::store::withdraw(&mut tx, issuer, hostname).await?;
        tx.commit().await?;
        tracing::info!(domain.hostname = hostname, %not_after, "a certificate is issued");
        Ok(())
    }

    /// An order that is over is not gone on with; one that may still come to something stays open.
    async fn close(&self, open: &Open, stop: &Stop) -> Result<(), Stop> {
        let (mut tx, now) = clock::begin(&self.orders.pool).await?;
        let Some((outcome, is_placed)) = over(stop, now - open.created_at) else {
            return Ok(());
        };
        if turns::store::confirm(&mut tx, self.orders.issuer(), self.turn).await? {
            match is_placed {
                true => store::finish(&mut tx, open.order_id, outcome, now).await?,
                false => store::finish_unplaced(&mut tx, open.order_id, outcome, now).await?,
            }
            challenges::store::withdraw(&mut tx, self.orders.issuer(), &self.turn.hostname).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// What an order that `stop` ended is over with, and whether also if it was placed. None: it may still come to something.
fn over(stop: &Stop, age: TimeDelta) -> Option<(Outcome, bool)> {
    match stop {
        Stop::Invalid(_) => Some((Outcome::Invalid, true)),
        // Sealed under a key that only another node has, it is opened there.
        Stop::Unusable(_) | Stop::Sealed(SealError::Malformed | SealError::Forged) => Some((Outcome::GivenUp, true)),
        Stop::Slow if age > HANGS => Some((Outcome::GivenUp, true)),
        Stop::Ca(CaError::Refused(problem), _) if !(400..500).contains(&problem.status) => None,
        Stop::Ca(CaError::Refused(problem), _) => match problem.kind.as_str() {
            "badNonce" | "accountDoesNotExist" => None,
            // What was placed goes on when the CA has time.
            "rateLimited" => Some((Outcome::Refused, false)),
            _ => Some((Outcome::Refused, true)),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_over_when_nothing_can_come_of_it() {
        let refused = |status, kind: &str| {
            let problem = Problem {
                status,
                kind: kind.to_owned(),
                ..validation::unknown()
            };
            Stop::from(CaError::Refused(problem))
        };
        let (given_up, is_refused) = (Some((Outcome::GivenUp, true)), Some((Outcome::Refused, true)));
        for (stop, minutes, expected) in [
            (Stop::Slow, 5, None),
            (Stop::Slow, 61, given_up),
            (Stop::Sealed(SealError::Forged), 0, given_up),
            (Stop::Sealed(SealError::Malformed), 0, given_up),
            (Stop::Sealed(SealError::UnknownKey), 0, None),
            (
                Stop::Unusable("The CA's certificate is for another key.".into()),
                0,
                given_up,
            ),
            (Stop::Invalid(validation::unknown()), 0, Some((Outcome::Invalid, true))),
            (Stop::Lost, 61, None),
            (CaError::Timeout.into(), 61, None),
            (refused(404, "malformed"), 0, is_refused),
            (refused(403, "unauthorized"), 0, is_refused),
            (refused(429, "rateLimited"), 0, Some((Outcome::Refused, false))),
            (refused(400, "badNonce"), 61, None),
            (refused(400, "accountDoesNotExist"), 61, None),
            (refused(500, "serverInternal"), 61, None),
        ] {
            assert_eq!(over(&stop, TimeDelta::minutes(minutes)), expected, "{stop:?}");
        }
    }
}
