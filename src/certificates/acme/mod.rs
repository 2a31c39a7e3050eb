//! Talks to one ACME CA (RFC 8555): the shapes, keys and challenge answers are `rustls-acme`'s, the exchange is ours.
//! Knows nothing of the database, of other nodes, or of when anything is to be done.
mod problem;

pub use problem::{CaError, Problem};
