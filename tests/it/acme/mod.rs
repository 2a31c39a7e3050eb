//! Certificates from a CA: Pebble, which is real and moody, and a CA of our own that does what it is told.
mod client;
mod pebble_for_client;
