//! Background work that many organisations share.
pub mod fair;
