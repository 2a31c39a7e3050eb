//! The CA convinces itself that the hostname is ours: it is told to look once every node knows what to answer.
use std::time::Duration;

use chrono::TimeDelta;
use rustls_acme::acme::{Auth, AuthStatus, Challenge, ChallengeType as Offered, Order};
use tokio::time::Instant;

use super::{Orders, Stop};
use crate::{
    certificates::{
        acme::{Authorization, CaError, Problem, Session},
        challenges::{self, ChallengeType, Offer},
    },
    clock,
};

/// How long a CA may take to validate, before somebody looks again later.
const PATIENCE: Duration = Duration::from_secs(90);
const CHALLENGE_KEPT: TimeDelta = TimeDelta::minutes(30);
/// Between two questions, when the CA does not say: short at first, since most take seconds.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
];
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The pause before the next question; a CA's own word counts, within reason.
pub fn pause(asked: usize, told: Option<Duration>) -> Duration {
    let own = PAUSES[asked.min(PAUSES.len() - 1)];
    told.map_or(own, |told| told.clamp(PAUSES[0], LONGEST_PAUSE))
}

impl Orders {
    /// Has every authorization of the order validated that is not yet.
    pub(super) async fn validate(&self, session: &Session<'_>, hostname: &str, order: &Order) -> Result<(), Stop> {
        for url in &order.authorizations {
            let authorization = session.authorization(url).await?.value;
            match authorization.auth.status {
                AuthStatus::Valid => {}
                AuthStatus::Pending => {
                    self.answer(session, hostname, &authorization.auth).await?;
                    self.wait(session, url).await?;
                }
                AuthStatus::Invalid | AuthStatus::Revoked | AuthStatus::Expired | AuthStatus::Deactivated => {
                    return Err(invalid(&authorization));
                }
            }
        }
        Ok(())
    }

    async fn answer(&self, session: &Session<'_>, hostname: &str, auth: &Auth) -> Result<(), Stop> {
        let challenge = self.choose(auth)?;
        let (mut db, now) = clock::acquire(&self.pool).await?;
        let offer = Offer {
            issuer: self.issuer(),
            hostname,
            token: &challenge.token,
            typ: self.challenge,
            expires_at: now + CHALLENGE_KEPT,
        };
        challenges::store::offer(&mut db, &[offer]).await?;
        drop(db);
        if !challenges::seen_by_all(&self.pool, hostname, &challenge.token, self.patience).await? {
            tracing::info!(
                domain.hostname = hostname,
                "not every node knows the challenge yet: going on"
            );
        }
        match session.challenge(&challenge.url).await {
            // A predecessor has told the CA already, or it has looked: the authorization says what came of it.
            Err(CaError::Refused(problem)) if problem.kind == "malformed" || problem.kind == "conflict" => Ok(()),
            told => Ok(told?),
        }
    }

    fn choose<'a>(&self, auth: &'a Auth) -> Result<&'a Challenge, Stop> {
        let wanted = match self.challenge {
            ChallengeType::Http01 => Offered::Http01,
            ChallengeType::TlsAlpn01 => Offered::TlsAlpn01,
        };
        let found = auth.challenges.iter().find(|challenge| challenge.typ == wanted);
        let missing = || CaError::Malformed(format!("it offers no {} challenge", self.challenge.as_str()));
        Ok(found.ok_or_else(missing)?)
    }

    async fn wait(&self, session: &Session<'_>, url: &str) -> Result<(), Stop> {
        let deadline = Instant::now() + PATIENCE;
        let (mut asked, mut told) = (0, None);
        while Instant::now() < deadline {
            tokio::time::sleep(pause(asked, told)).await;
            let polled = session.authorization(url).await?;
            match polled.value.auth.status {
                AuthStatus::Valid => return Ok(()),
                AuthStatus::Pending => (asked, told) = (asked + 1, polled.retry_after),
                AuthStatus::Invalid | AuthStatus::Revoked | AuthStatus::Expired | AuthStatus::Deactivated => {
                    return Err(invalid(&polled.value));
                }
            }
        }
        Err(Stop::Slow)
    }
}

fn invalid(authorization: &Authorization) -> Stop {
    Stop::Invalid(authorization.problem().cloned().unwrap_or_else(unknown))
}

/// For an order that failed without a word.
pub fn unknown() -> Problem {
    Problem {
        kind: String::new(),
        status: 0,
        detail: String::new(),
        subproblems: Vec::new(),
        retry_at: None,
    }
}
