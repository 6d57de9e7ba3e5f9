//! x
pub mod resp;
