//! The gate: who is calling, what they may use, how much of it.

pub mod brake;
pub mod budget;
pub mod headers;
pub mod keys;
pub mod limit;
pub mod memory;
pub mod queue;
pub mod rights;
pub mod secret;
