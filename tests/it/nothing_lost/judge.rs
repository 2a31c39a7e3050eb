//! Somebody who asks all the time, keeps a list of every answer, and compares it with the table.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::random;
use crate::{
    acme::{cluster, rig},
    app::WELL_KNOWN,
};

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Judge {
    heard: Arc<Mutex<Heard>>,
    cancel: CancellationToken,
    askers: Vec<JoinHandle<()>>,
}

/// Each request has a number, which is its user agent too.
#[derive(Default)]
pub struct Heard {
    answered: BTreeSet<u64>,
    /// Asked, and not answered: whether it was logged nobody can say.
    pub unanswered: BTreeMap<u64, String>,
}

/// Where it asks.
#[derive(Clone, Copy)]
pub enum Door {
    Http(SocketAddr),
    Tls(SocketAddr),
}

impl Judge {
    /// So many ask at once, each time over a connection of its own, at one of these doors for one of these hostnames.
    pub fn start(doors: &[Door], hostnames: &[String], askers: u32) -> Self {
        let (heard, next, cancel) = (
            Arc::<Mutex<Heard>>::default(),
            Arc::<AtomicU64>::default(),
            CancellationToken::new(),
        );
        let ask = |_| {
            let (heard, next, cancel) = (heard.clone(), next.clone(), cancel.clone());
            let (doors, hostnames) = (doors.to_owned(), hostnames.to_owned());
            rig::runtime().spawn(async move {
                while !cancel.is_cancelled() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (door, hostname) = (any(&doors), any(&hostnames));
                    let asked = tokio::time::timeout(PATIENCE, ask(*door, hostname, number)).await;
                    let answer = asked.unwrap_or_else(|_| Err("no answer".to_owned()));
                    let mut heard = heard.lock().unwrap();
                    match answer {
                        Ok(()) => drop(heard.answered.insert(number)),
                        Err(why) => drop(heard.unanswered.insert(number, why)),
                    }
                }
            })
        };
        let askers = (0..askers).map(ask).collect();
        Self { heard, cancel, askers }
    }

    /// How many answers it has.
    pub fn answers(&self) -> usize {
        self.heard.lock().unwrap().answered.len()
    }

    /// Waits until so many more were answered.
    pub async fn more(&self, answers: usize) {
        let enough = self.answers() + answers;
        rig::within(60, "devices are answered", || async { self.answers() >= enough }).await;
    }

    /// Stops asking, once what is under way is over.
    pub async fn rest(self) -> Heard {
        self.cancel.cancel();
        for asker in self.askers {
            asker.await.unwrap();
        }
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Heard {
    /// Whoever was answered was told the truth: nobody heard that a domain is unknown, or of a fault.
    pub fn is_true(&self) {
        let wrong = |why: &&String| why.contains("HTTP/1.1 ") && !why.contains("HTTP/1.1 200 ");
        let wrong: BTreeSet<_> = self.unanswered.values().filter(wrong).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    /// Waits until every answer is in the table, and looks that nothing is there twice, in rows and in counts.
    pub async fn is_logged(&self, pool: &PgPool) {
        let began = Instant::now();
        let rows = loop {
            let rows = rows(pool).await;
            let missing: Vec<_> = self
                .answered
                .iter()
                .filter(|number| !rows.contains_key(number))
                .collect();
            if missing.is_empty() {
                break rows;
            }
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "{} of {} answers are missing: {missing:?}",
                missing.len(),
                self.answered.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        // Whoever is about to ship the same again has done so by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let twice: Vec<_> = rows.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "logged twice: {twice:?}");
        let is_known = |number: &&u64| self.answered.contains(number) || self.unanswered.contains_key(number);
        assert!(rows.keys().all(|number| is_known(&number)), "logged, and never asked");
        for table in [
            "request_counts where domain_id <> '00000000-0000-0000-0000-000000000000'",
            "request_totals where client_id = '00000000-0000-0000-0000-000000000000'",
        ] {
            let counted = format!("select coalesce(sum(count), 0)::bigint from {table}");
            let counted: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(counted))
                .fetch_one(pool)
                .await
                .unwrap();
            assert_eq!(counted, i64::try_from(self::rows(pool).await.len()).unwrap(), "{table}");
        }
    }
}

/// How often each request stands in the table.
async fn rows(pool: &PgPool) -> BTreeMap<u64, i64> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select user_agent, count(*) from requests where domain_id is not null group by 1")
            .fetch_all(pool)
            .await
            .unwrap();
    let number = |agent: String| agent.strip_prefix("judge/").unwrap().parse().unwrap();
    rows.into_iter().map(|(agent, count)| (number(agent), count)).collect()
}

fn any<T>(all: &[T]) -> &T {
    &all[usize::try_from(random(all.len() as u64)).unwrap()]
}

async fn ask(door: Door, hostname: &str, number: u64) -> Result<(), String> {
    match door {
        Door::Http(address) => {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            exchange(stream, hostname, number).await
        }
        Door::Tls(address) => {
            let stream = cluster::connect(address, hostname).await;
            exchange(stream.map_err(|error| format!("TLS: {error}"))?, hostname, number).await
        }
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, hostname: &str, number: u64) -> Result<(), String> {
    let request = format!(
        "GET {WELL_KNOWN}?user-identifier=jane@{hostname}&model-family=iPad HTTP/1.1\r\nHost: {hostname}\r\n\
         User-Agent: judge/{number}\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| format!("asking: {error}"))?;
    let mut answer = Vec::new();
    // What comes after the whole of an answer is of no interest: some end a TLS connection without a word.
    let ended = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    match answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}') {
        true => Ok(()),
        false => Err(format!("{answer:?}, {:?}", ended.err())),
    }
}
