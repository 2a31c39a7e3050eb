//! Client connections before HTTP: which are accepted, who their sender is, TLS, and how long a client may take to
//! read an answer.
//!
//! A connection passes, in this order: a permit ([`fair_limit`]), a PROXY header where the peer is a load balancer
//! that sends one ([`proxy_header`]), a TLS handshake, and then HTTP/1.1 over a [`stream::ClientStream`], which closes
//! the connection of a client that stops reading. What exceeds a bound is closed at once and counted in [`stats`].
//! Nothing here reads a request or asks the database.
pub mod accept;
pub mod fair_limit;
pub mod metrics;
pub mod pacing;
pub mod proxy_header;
pub mod stats;
pub mod stream;
