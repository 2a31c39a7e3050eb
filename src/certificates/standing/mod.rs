//! How the certificates stand, for whoever watches the numbers.
pub mod store;

use std::sync::{Mutex, PoisonError};

/// What was last counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Hostnames whose turn it is.
    pub due: i64,
    /// Hostnames whose last attempt came to nothing.
    pub failing: i64,
    /// Hostnames whose certificate expires soon.
    pub urgent: i64,
    /// Orders that count against the account's limit.
    pub orders: i64,
    /// Those that its limit leaves; none: no limit is known.
    pub orders_left: Option<i64>,
    /// The CA is left alone.
    pub is_paused: bool,
}

/// The last [`Standing`], shared with the ops listener.
#[derive(Default)]
pub struct Board(Mutex<Standing>);

impl Board {
    pub fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
