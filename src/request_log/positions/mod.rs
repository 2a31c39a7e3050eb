//! How far a spool was shipped: what the database knows of it.
pub mod store;

use std::collections::BTreeMap;

/// How far each segment was shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Segments before this are done.
    pub floor: u64,
    /// The byte in it where what is next begins; those that are missing were not begun.
    pub segments: BTreeMap<u64, u64>,
}

impl Positions {
    /// `u64::MAX`: all of it.
    #[must_use]
    pub fn of(&self, segment: u64) -> u64 {
        match segment < self.floor {
            true => u64::MAX,
            false => self.segments.get(&segment).copied().unwrap_or(0),
        }
    }
}
