//! Weir's pure wire layer: bytes in, facts and bytes out. No I/O, no clock, no runtime.

pub mod answer;
pub mod anthropic;
pub mod base64;
pub mod bedrock;
pub mod cohere;
pub mod counts;
pub mod embed;
pub mod estimate;
pub mod eventstream;
pub mod fault;
pub mod gemini;
pub mod hub;
pub mod json;
pub mod multipart;
pub mod ndjson;
pub mod ollama;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_responses;
pub mod request;
pub mod rerank;
pub mod rules;
pub mod sse;
pub mod tap;
pub mod text;
pub mod usage;
