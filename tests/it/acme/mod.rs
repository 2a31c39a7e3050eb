//! Certificates from ACME with real peers: Pebble behind a proxy that can make trouble, a CA of our own that does what
//! it is told, a name server, a load balancer, and several processes of ours on one database.
pub mod balancer;
mod ca_proxy;
mod client;
pub mod cluster;
mod customers;
mod fake_ca;
mod hostile_ca;
mod issuing;
mod names;
mod outages;
mod pebble;
mod pebble_for_client;
mod real_ca;
mod renewing;
mod resuming;
pub mod rig;
mod secrets;
mod separation;
mod story;
mod stranger;
mod turns;
