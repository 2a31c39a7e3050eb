//! Certificates from ACME with real peers: Pebble behind a proxy that can make trouble, a name server, a load
//! balancer, and several processes of ours on one database.
#![allow(dead_code, reason = "the tests that use the rest come with the orders")]
mod balancer;
mod ca_proxy;
mod cluster;
mod customers;
mod issuing;
mod names;
mod outages;
mod pebble;
mod renewing;
mod resuming;
mod rig;
mod secrets;
mod separation;
mod stranger;
