//! What the API and the console share. No rules, no SQL, no shapes of either.
pub mod error;
