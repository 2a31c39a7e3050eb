//! Background work: how it is shared between organisations, and when this node may do it.
pub mod clock_watch;
pub mod fair;
