//! Weir: an LLM gateway in one binary.

pub mod catalog;
pub mod clock;
pub mod money;
pub mod price;
pub mod record;
pub mod gate;
pub mod store;
pub mod upstream;
