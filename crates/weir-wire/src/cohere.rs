//! The Cohere chat dialect, version 2. Outbound: requests are written for providers that speak it,
//! answers and streams of theirs are read. Reading requests and writing whole answers exist for the
//! law of identity.
//!
//! What differs most from the others:
//!
//! - **The plan.** Before it calls tools a model may say `tool_plan`. It is a thought here, whose
//!   [`id`](crate::hub::Thinking::id) is `tool_plan`, so that it comes back as a plan when a caller of
//!   another dialect sends it again.
//! - **Documents** stand beside the conversation and are text. Those of other dialects' user turns are
//!   gathered there; those within tool results stay in them.
//! - **Citations** are of passages of the answer, each with several sources. The hub has a citation
//!   for each source, of which the first carries what was written.
//! - **No tool can be forced by name**: the others are left out and a call is required.
//! - **Two counts.** `billed_units` is what is paid, and counts; `tokens` holds the provider's own
//!   preamble too, and stands in when nothing is billed.
//! - **`ERROR` and `TIMEOUT` are failures**, not reasons to stop.

mod calls;
mod choice;
mod citations;
mod content;
mod decode_answer;
mod decode_request;
mod decode_stream;
mod definitions;
mod documents;
mod encode_answer;
mod encode_params;
mod encode_request;
mod form;
mod logprobs;
mod messages;
mod params;
mod said;
mod spent;
mod stream_parts;

#[cfg(test)]
mod tests;

pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
