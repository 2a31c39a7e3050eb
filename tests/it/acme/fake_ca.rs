//! A CA (RFC 8555, RFC 9773) that does what it is told: it checks every signature and nonce, signs what it is asked
//! to sign, remembers every request, and breaks where and as often as a test wants.
//!
//! ```ignore
//! let fake = FakeCa::start(Behaviour::default());
//! let ca = Ca::new(fake.directory(), Some(&fake.root_pem()))?;
//! fake.set_fault(Kind::NewOrder, Fault::problem(429, "rateLimited", "…").with("Retry-After", "60"), 2);
//! assert_eq!(fake.count(Kind::NewOrder), 3);
//! fake.change(|behaviour| behaviour.is_down = true);
//! ```
mod actions;
mod authority;
mod http;
mod jws;
mod orders;
mod routes;
mod state;
mod validation;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use chrono::{DateTime, Duration, Utc};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::faults::pki::{Kind as Shown, Pki};
use state::State;
pub use state::{Issued, Kind, Seen};

/// Gone when it is dropped.
pub struct FakeCa {
    port: u16,
    root_pem: Vec<u8>,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What the CA is like, from the next request on.
#[derive(Clone)]
pub struct Behaviour {
    /// Of certificates whose order names no profile.
    pub lifetime: Duration,
    /// Profiles on offer, and the lifetimes of their certificates.
    pub profiles: BTreeMap<String, Duration>,
    pub validation: Validation,
    pub validation_takes: Duration,
    /// An order is `processing` for this long.
    pub issuance_takes: Duration,
    /// Seconds, said of an authorization that is pending and of an order that is processing.
    pub retry_after: Option<u64>,
    pub renewal_info: RenewalInfo,
    /// The key id and the key (base64url) of the external account that every account must name.
    pub eab: Option<(String, String)>,
    /// Refuses every n-th good nonce.
    pub bad_nonces: Option<usize>,
    /// As Let's Encrypt: accounts name no list of orders.
    pub keeps_no_list: bool,
    /// A name that this account has validated need not be validated again.
    pub reuses_authorizations: bool,
    /// Connections are closed as soon as they are made.
    pub is_down: bool,
}

#[derive(Clone)]
pub enum Validation {
    /// Whatever a client says is true.
    Trust,
    /// Looks for the answer to HTTP-01 at these addresses: a name that is not here has none.
    Ask(HashMap<String, SocketAddr>),
    /// Fails with this kind of problem and these words.
    Fail(&'static str, &'static str),
}

#[derive(Clone)]
pub enum RenewalInfo {
    /// Not in the directory.
    NotOffered,
    /// The usual: the third quarter of a certificate's life, to be asked for again after six hours.
    Usual,
    Suggested {
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        explanation_url: Option<String>,
        /// As it stands in the header.
        retry_after: Option<String>,
    },
}

/// How a request is answered other than it should be.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done, and this is said.
    Answer(Answer),
    /// Done as asked, and then this is said.
    AnswerAfter(Answer),
    /// Nothing is done, and nothing said until the client has enough.
    Hang,
    /// Done as asked, and nothing said.
    HangAfter,
    /// The connection is cut before anything is done.
    CutBefore,
    /// Done as asked, and the connection is cut instead of an answer.
    CutAfter,
    /// The right answer, and then the end of the connection.
    CloseAfter,
    /// The right answer, this long between two bytes.
    Drip(std::time::Duration),
    /// The head of an answer, and a body without end.
    Endless,
    /// The right answer, cut in the middle of its JSON, with a length that fits.
    Truncated,
    /// The right answer behind this many headers.
    Headers(usize),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            lifetime: Duration::days(90),
            profiles: BTreeMap::new(),
            validation: Validation::Trust,
            validation_takes: Duration::zero(),
            issuance_takes: Duration::zero(),
            retry_after: None,
            renewal_info: RenewalInfo::Usual,
            eab: None,
            bad_nonces: None,
            keeps_no_list: false,
            reuses_authorizations: false,
            is_down: false,
        }
    }
}

impl Fault {
    pub fn problem(status: u16, kind: &str, detail: &str) -> Self {
        Self::Answer(Answer::problem(status, kind, detail))
    }

    /// Any other answer.
    pub fn answer(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(Answer {
            status,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: body.into(),
        })
    }

    /// With a header as well.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer(answer) | Self::AnswerAfter(answer) = &mut self {
            answer.headers.push((name.into(), value.into()));
        }
        self
    }
}

impl FakeCa {
    pub fn start(behaviour: Behaviour) -> Self {
        let pki = Pki::new();
        let certificate = pki.issue(&["localhost"], Shown::Good);
        let root_pem = std::fs::read(pki.root()).unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::new(format!("https://localhost:{port}"), behaviour));
        let (cancel, serving) = (CancellationToken::new(), shared.clone());
        let (cancelled, tls) = (cancel.clone(), http::tls(&certificate));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(cancelled.run_until_cancelled(http::serve(listener, tls, serving)));
        });
        Self {
            port,
            root_pem,
            shared,
            cancel,
            thread: Some(thread),
        }
    }

    /// The CA's name, and what `Ca::new` takes.
    pub fn directory(&self) -> Url {
        format!("https://localhost:{}/directory", self.port).parse().unwrap()
    }

    /// The authority of the CA's own web server.
    pub fn root_pem(&self) -> Vec<u8> {
        self.root_pem.clone()
    }

    /// The authority below which certificates are signed.
    pub fn issuing_root_pem(&self) -> String {
        self.shared.state().authority.root_pem.clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.state().behaviour);
    }

    /// The next `times` requests of this kind, after those that other faults wait for.
    pub fn set_fault(&self, kind: Kind, fault: Fault, times: usize) {
        let mut state = self.shared.state();
        let faults = state.faults.entry(kind).or_default();
        faults.extend(std::iter::repeat_n(fault, times));
    }

    /// Every request so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.shared.state().seen.iter().filter(|seen| seen.kind == kind).count()
    }

    /// Every certificate so far.
    pub fn issued(&self) -> Vec<Issued> {
        self.shared.state().issued.clone()
    }

    /// The names of all orders, one for each order, in the order in which they were placed.
    pub fn ordered(&self) -> Vec<String> {
        self.shared
            .state()
            .orders
            .values()
            .map(|order| order.hostname.clone())
            .collect()
    }

    /// How many connections it has ended.
    pub fn closed(&self) -> usize {
        self.shared.state().closed
    }

    pub fn accounts(&self) -> usize {
        self.shared.state().accounts.len()
    }
}

impl Drop for FakeCa {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Shared {
    /// Without a slash at the end.
    base: String,
    state: Mutex<State>,
}

impl Shared {
    fn new(base: String, behaviour: Behaviour) -> Self {
        let state = Mutex::new(State::new(behaviour));
        Self { base, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
