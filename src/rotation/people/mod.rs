//! What is sealed of people: names, addresses, mails.
pub mod store;
