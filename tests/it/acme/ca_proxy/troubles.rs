//! The trouble that a test has ordered: where, which, and how often.
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::watch;

use super::{
    records::{Kind, Record},
    wire::Answer,
};

#[derive(Clone, Debug)]
pub enum Trouble {
    /// The request waits, and the CA knows nothing of it.
    HoldBefore,
    /// The CA has done what was asked, and its answer waits. Refusals pass.
    HoldAfter,
    /// This in place of what the CA says; it is not asked.
    Answer(Answer),
    /// Headers, and then a body without end.
    Endless,
    /// No answer.
    Hang,
    /// The end of the connection in place of an answer.
    Cut,
}

/// Which requests: all of no kind and of no hostname named.
#[derive(Clone, Debug, Default)]
pub struct Where {
    pub kind: Option<Kind>,
    pub hostname: Option<String>,
}

impl Where {
    pub fn everywhere() -> Self {
        Self::default()
    }

    pub fn at(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            hostname: None,
        }
    }

    pub fn of(mut self, hostname: &str) -> Self {
        self.hostname = Some(hostname.to_owned());
        self
    }

    fn is(&self, record: &Record) -> bool {
        self.kind.is_none_or(|kind| kind == record.kind)
            && self
                .hostname
                .as_ref()
                .is_none_or(|name| record.hostname.as_ref() == Some(name))
    }
}

#[derive(Default)]
pub struct Troubles(Mutex<Vec<Arc<Ordered>>>);

pub struct Ordered {
    at: Where,
    trouble: Trouble,
    left: AtomicUsize,
    met: AtomicUsize,
    held: watch::Sender<usize>,
    end: watch::Sender<End>,
}

/// What becomes of those who are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    GoOn,
    Cut,
}

/// The handle of a trouble that was injected. It goes on when the handle is dropped.
#[derive(Clone)]
pub struct Injected(Arc<Ordered>);

impl Troubles {
    pub fn add(&self, at: Where, trouble: Trouble, times: usize) -> Injected {
        let ordered = Arc::new(Ordered {
            at,
            trouble,
            left: AtomicUsize::new(times),
            met: AtomicUsize::new(0),
            held: watch::Sender::new(0),
            end: watch::Sender::new(End::NotYet),
        });
        self.0.lock().unwrap().push(ordered.clone());
        Injected(ordered)
    }

    pub fn before(&self, record: &Record) -> Option<Arc<Ordered>> {
        self.find(|ordered| !matches!(ordered.trouble, Trouble::HoldAfter) && ordered.at.is(record))
    }

    pub fn after(&self, record: &Record, status: u16) -> Option<Arc<Ordered>> {
        let is_done = status < 300;
        self.find(|ordered| is_done && matches!(ordered.trouble, Trouble::HoldAfter) && ordered.at.is(record))
    }

    fn find(&self, is_wanted: impl Fn(&Ordered) -> bool) -> Option<Arc<Ordered>> {
        let list = self.0.lock().unwrap();
        let found = list.iter().find(|ordered| is_wanted(ordered) && ordered.take())?;
        found.met.fetch_add(1, Ordering::AcqRel);
        Some(found.clone())
    }
}

impl Ordered {
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Waits to be let go. Nothing: the connection is to be cut.
    pub async fn hold(&self) -> Option<()> {
        self.held.send_modify(|held| *held += 1);
        let mut end = self.end.subscribe();
        let end = end.wait_for(|end| *end != End::NotYet).await.ok().map(|end| *end);
        self.held.send_modify(|held| *held -= 1);
        (end == Some(End::GoOn)).then_some(())
    }

    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .is_ok()
    }
}

impl Injected {
    /// Waits until a request is held.
    pub async fn wait_until_held(&self) {
        let mut held = self.0.held.subscribe();
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), held.wait_for(|held| *held > 0));
        assert!(waited.await.is_ok(), "nothing came to be held: {:?}", self.0.at);
    }

    /// Those who are held go on, and nobody else is troubled.
    pub fn release(&self) {
        self.end(End::GoOn);
    }

    /// The connections of those who are held are cut, and nobody else is troubled.
    pub fn cut(&self) {
        self.end(End::Cut);
    }

    /// How many requests it met.
    pub fn met(&self) -> usize {
        self.0.met.load(Ordering::Acquire)
    }

    fn end(&self, end: End) {
        self.0.left.store(0, Ordering::Release);
        self.0.end.send_replace(end);
    }
}
