//! Certificates from a CA: Pebble, which is real and moody, and a CA of our own that does what it is told.
mod client;
mod fake_ca;
mod hostile_ca;
mod pebble_for_client;
mod real_ca;
