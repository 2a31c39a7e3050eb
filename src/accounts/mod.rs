//! Who is asking, and for whom they may act: organisations, their clients, people and tokens.
//!
//! [`Scope`] is the proof that a caller may act for an organisation. Every query on a tenant's rows
//! takes one, and only this module can make one: forgetting the check does not compile.
mod actor;
pub mod clients;
pub mod organisations;
pub mod token;

pub use actor::{AccessError, Actor, By, ClientScope, Operator, Permission, Scope};
