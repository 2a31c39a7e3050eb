//! The sessions at the server that this process has begun, so that it can end them.
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

/// More than both pools hold at once.
const MAX_SESSIONS: usize = 256;

/// The newest. A process id may be given to another session later; together with the time of its start it is unique.
#[derive(Default)]
pub(super) struct Sessions(Mutex<VecDeque<(i32, DateTime<Utc>)>>);

impl Sessions {
    pub fn add(&self, pid: i32, started_at: DateTime<Utc>) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() == MAX_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((pid, started_at));
    }

    pub fn list(&self) -> (Vec<i32>, Vec<DateTime<Utc>>) {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().copied().unzip()
    }
}
