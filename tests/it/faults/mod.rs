//! A bench of faults made for real: name servers, certificates and web servers on loopback, each broken in one way.
#![allow(dead_code, reason = "not every rig has its test yet")]
pub mod dns;
