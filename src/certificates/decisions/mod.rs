//! When something is to be done, and when it may be: pure functions of (facts, now). They ask nobody and know no table.
pub mod back_off;
pub mod breaker;
pub mod budget;
pub mod lifetime;
pub mod priority;
pub mod renewal;
