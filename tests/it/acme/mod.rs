//! Certificates from ACME with real peers: Pebble behind a proxy that can make trouble, a CA of our own that does what
//! it is told, a name server, a load balancer, and several processes of ours on one database.
#![allow(dead_code, reason = "the tests that use the rest come with the orders")]
mod balancer;
mod ca_proxy;
mod client;
mod cluster;
mod fake_ca;
mod hostile_ca;
mod names;
mod pebble;
mod pebble_for_client;
mod rig;
mod stranger;
