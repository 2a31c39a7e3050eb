//! Who is asking, and for whom they may act: organisations, their clients, people and tokens.
//!
//! [`Scope`] is the proof that a caller may act for an organisation. Every query on a tenant's rows
//! takes one, and only this module can make one: forgetting the check does not compile.
mod actor;
pub mod authorship;
mod by;
pub mod clients;
pub mod email;
pub mod email_changes;
pub mod failed_attempts;
pub mod invitations;
pub mod known_browsers;
pub mod members;
pub mod offboarding;
pub mod operators;
pub mod organisations;
pub mod passkeys;
pub mod password_links;
pub mod people;
pub mod proof;
pub mod registrations;
pub mod role;
pub mod second_factors;
pub mod secret_text;
pub mod sessions;
pub mod sign_in;
pub mod single_sign_on;
pub mod token;
pub mod unproved_accounts;

pub use actor::{AccessError, Actor, ClientScope, Member, Operator, Permission, Scope};
pub use by::By;
