//! Webhooks: what is told, to whom, and how it gets there.
mod deliveries;
mod endpoints;
mod facts;
mod pages;
pub mod receiver;
