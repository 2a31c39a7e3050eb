//! What was answered is in the log once, and what was asked is answered, whatever happens to nodes and databases. A
//! judge keeps its own list of what it was answered; real processes, real servers of PostgreSQL, faults at random moments.
mod faults;
mod fleet;
mod judge;
mod pair;
mod relay;

/// In `0..limit`.
fn random(limit: u64) -> u64 {
    u64::try_from(uuid::Uuid::new_v4().as_u128() % u128::from(limit)).unwrap()
}
