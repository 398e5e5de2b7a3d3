//! Weir: an LLM gateway in one binary.

pub mod clock;
pub mod config;
pub mod money;
pub mod record;
