//! Certificates from ACME with real peers: Pebble behind a proxy that can make trouble, a name server, a load
//! balancer, and several processes of ours on one database.
#![allow(dead_code, reason = "the tests that use the rest come with the orders")]
mod balancer;
mod ca_proxy;
mod cluster;
mod names;
mod pebble;
mod rig;
mod stranger;
