//! Weir's pure wire layer: bytes in, facts and bytes out. No I/O, no clock, no runtime.

pub mod counts;
pub mod estimate;
pub mod json;
pub mod request;
pub mod rules;
pub mod sse;
pub mod text;
pub mod usage;
