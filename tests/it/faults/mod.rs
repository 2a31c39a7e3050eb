//! A bench of faults made for real: name servers, certificates and web servers on loopback, each broken in one way,
//! and what the probe must say of it. A wrong diagnosis is worse than none.
mod bench;
mod connections;
pub mod dns;
mod documents;
mod hostile;
mod patience;
pub mod pki;
mod redirects;
mod resolution;
mod statuses;
mod table;
mod tls_server;
