//! The hot path: what a device asks, and what it is told. No database, no lock, nothing awaited
//! but the socket, and no allocation beyond the answer.
//!
//! A request becomes an [`Outcome`](hit::Outcome) in `handler`, by the entry that `directory` holds for its host and the
//! action that the entry's `policy` chooses; one [`Hit`](hit::Hit) is told to the request log.
//! Facts about Apple's protocol stand where they are used, with their source.
pub mod directory;
pub mod document;
pub mod front_door;
pub mod handler;
pub mod hit;
pub mod matching;
pub mod metrics;
pub mod policy;
pub mod query;
pub mod request;
pub mod validation;
