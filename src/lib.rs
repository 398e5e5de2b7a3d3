//! Weir: an LLM gateway in one binary.

pub mod cli;
pub mod clock;
pub mod config;
pub mod money;
pub mod record;
