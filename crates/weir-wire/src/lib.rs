//! Weir's pure wire layer: bytes in, facts and bytes out. No I/O, no clock, no runtime.

pub mod answer;
pub mod counts;
pub mod estimate;
pub mod fault;
pub mod gemini;
pub mod hub;
pub mod json;
pub mod multipart;
pub mod openai_chat;
pub mod request;
pub mod rules;
pub mod sse;
pub mod tap;
pub mod text;
pub mod usage;
