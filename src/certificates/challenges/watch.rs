//! Keeps a node's [`Challenges`] as the database says, and tells the others what this node answers.
//! NOTIFY is the hint, the table the truth: every look reads all that is unexpired. Decides nothing about orders.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{PgConnection, PgPool, postgres::PgListener};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Challenges,
    account::Answering,
    answerable::{Unusable, answerable, challenge_type},
    memory::Answer,
    store::{self, Row},
};
use crate::{
    clock::{self, DatabaseTime},
    sealed::Keyring,
};

/// A challenge that no notification announced is answered after this at the latest.
const POLL: Duration = Duration::from_secs(1);
/// A database that takes longer is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Challenges answered at a time. What is beyond waits for room: the oldest come first.
const ROOM: u32 = 20_000;

pub struct Watcher {
    pool: PgPool,
    keyring: Arc<Keyring>,
    issuer: String,
    node_id: Uuid,
    challenges: Arc<Challenges>,
    account: Option<Account>,
    known: HashMap<Place, Known>,
    is_full: bool,
}

type Place = (String, String);

/// The account as it was last read.
struct Account {
    key_sealed: Vec<u8>,
    /// `None`: its key can't be used; said once.
    answering: Option<Arc<Answering>>,
}

/// What was done about a row.
struct Known {
    row: Row,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing can be answered; said once.
    Unusable,
    Answered,
    /// Answered, and the others were told.
    Sighted,
}

impl Watcher {
    #[must_use]
    pub fn new(
        pool: PgPool,
        keyring: Arc<Keyring>,
        issuer: String,
        node_id: Uuid,
        challenges: Arc<Challenges>,
    ) -> Self {
        Self {
            pool,
            keyring,
            issuer,
            node_id,
            challenges,
            account: None,
            known: HashMap::new(),
            is_full: false,
        }
    }

    /// One look. First call it before the listeners open: a node that is asked must not be the one that knows nothing;
    /// and after the node was said to live, so that nothing is offered between that it is not waited for.
    pub async fn look(&mut self) -> Result<(), sqlx::Error> {
        match tokio::time::timeout(PATIENCE, self.look_patiently()).await {
            Ok(result) => result,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    async fn look_patiently(&mut self) -> Result<(), sqlx::Error> {
        let pool = self.pool.clone();
        let (mut db, now) = clock::acquire(&pool).await?;
        let rows = store::list(&mut db, &self.issuer, now, i64::from(ROOM) + 1).await?;
        let was_full = std::mem::replace(&mut self.is_full, rows.len() > ROOM as usize);
        if self.is_full && !was_full {
            tracing::warn!("more than {ROOM} ACME challenges are open: the rest waits");
        }
        let rows = answerable(rows, ROOM as usize);
        self.forget_all_but(&rows);
        let is_new = |row: &Row| self.known.get(&place(row)).is_none_or(|known| known.row != *row);
        let rows: Vec<_> = rows.into_iter().filter(is_new).collect();
        if !rows.is_empty() {
            self.answer(&mut db, rows, now).await?;
        }
        self.tell(&mut db).await
    }

    fn forget_all_but(&mut self, rows: &[Row]) {
        let open: HashSet<_> = rows.iter().map(|row| (&*row.hostname, &*row.token)).collect();
        let challenges = &self.challenges;
        self.known.retain(|(hostname, token), _| {
            let stays = open.contains(&(&**hostname, &**token));
            if !stays {
                challenges.remove(hostname, token);
            }
            stays
        });
    }

    async fn answer(&mut self, db: &mut PgConnection, rows: Vec<Row>, now: DatabaseTime) -> Result<(), sqlx::Error> {
        let Some(account) = self.account(db).await? else {
            return Ok(());
        };
        // A certificate is made for each validation by TLS: not on a thread that others wait for.
        let answers = tokio::task::spawn_blocking(move || {
            let answer = |row: Row| {
                let answer = challenge_type(&row).and_then(|typ| {
                    let answer = account.answer(&row.hostname, &row.token, typ);
                    answer.map_err(|error| Unusable::Answer(error.to_string()))
                });
                (row, answer)
            };
            rows.into_iter().map(answer).collect::<Vec<_>>()
        });
        let answers = answers
            .await
            .map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?;
        for (row, answer) in answers {
            self.keep(row, answer, now);
        }
        Ok(())
    }

    fn keep(&mut self, row: Row, answer: Result<Answer, Unusable>, now: DatabaseTime) {
        let place = place(&row);
        if self.known.get(&place).is_some_and(|known| known.row.typ != row.typ) {
            self.challenges.remove(&row.hostname, &row.token);
        }
        let state = match answer {
            Ok(answer) => {
                let expires_at = Instant::now() + (row.expires_at - now).to_std().unwrap_or_default();
                self.challenges.put(&row.hostname, &row.token, answer, expires_at);
                State::Answered
            }
            Err(error) => {
                tracing::warn!(hostname = row.hostname, %error, "an ACME challenge can't be answered");
                State::Unusable
            }
        };
        self.known.insert(place, Known { row, state });
    }

    /// The account whose key answers. With another account than before nothing stands that the one before answered.
    async fn account(&mut self, db: &mut PgConnection) -> Result<Option<Arc<Answering>>, sqlx::Error> {
        let Some(key_sealed) = store::find_account_key(db, &self.issuer).await? else {
            return Ok(None);
        };
        if let Some(known) = self.account.as_ref().filter(|known| known.key_sealed == key_sealed) {
            return Ok(known.answering.clone());
        }
        let answering = match Answering::open(&self.keyring, &self.issuer, &key_sealed) {
            Ok(answering) => Some(Arc::new(answering)),
            Err(error) => {
                tracing::error!(%error, "no ACME challenge can be answered");
                None
            }
        };
        let before = self.account.take().and_then(|known| known.answering);
        if let (Some(before), Some(answering)) = (before, &answering)
            && !before.is_same(answering)
        {
            self.forget_all_but(&[]);
        }
        self.account = Some(Account {
            key_sealed,
            answering: answering.clone(),
        });
        Ok(answering)
    }

    /// Tells the others what stands since the last time.
    async fn tell(&mut self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        let untold = self.known.iter().filter(|(_, known)| known.state == State::Answered);
        let (hostnames, tokens): (Vec<_>, Vec<_>) = untold.map(|(place, _)| place.clone()).unzip();
        if hostnames.is_empty() {
            return Ok(());
        }
        for place in store::sight(db, self.node_id, &hostnames, &tokens).await? {
            if let Some(known) = self.known.get_mut(&place) {
                known.state = State::Sighted;
            }
        }
        Ok(())
    }

    /// Until `cancel`. Without the database, what is in memory is answered until it expires.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut listener = None;
        let mut is_away = false;
        loop {
            let looked = tokio::select! {
                () = cancel.cancelled() => return,
                looked = self.listen_and_look(&mut listener) => looked,
            };
            match looked {
                Ok(()) => is_away = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        let message = "ACME challenges can't be read: answering those in memory";
                        crate::telemetry::log_failed_work(message, error);
                    }
                    listener = None;
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
                () = hint(&mut listener) => {}
            }
        }
    }

    async fn listen_and_look(&mut self, listener: &mut Option<PgListener>) -> Result<(), sqlx::Error> {
        if listener.is_none() {
            *listener = tokio::time::timeout(PATIENCE, listen(&self.pool)).await.ok().flatten();
        }
        self.look().await
    }
}

fn place(row: &Row) -> Place {
    (row.hostname.clone(), row.token.clone())
}

async fn listen(pool: &PgPool) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(pool).await.ok()?;
    listener.listen("signpost_challenges").await.ok()?;
    Some(listener)
}

/// Returns when something was announced. A listener that lost its connection is dropped; polling goes on.
async fn hint(listener: &mut Option<PgListener>) {
    let Some(listening) = listener else {
        return std::future::pending().await;
    };
    if !matches!(listening.try_recv().await, Ok(Some(_))) {
        *listener = None;
        std::future::pending().await
    }
}
