//! Weir: an LLM gateway in one binary.

pub mod clock;
pub mod money;
pub mod record;
pub mod store;
