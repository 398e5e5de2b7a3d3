//! Ollama's own chat, `/api/chat`. Outbound: requests are written for servers that speak it, answers
//! and streams of theirs are read. Reading requests and writing whole answers exist for the law of
//! identity.
//!
//! What differs most from the others:
//!
//! - **It streams unless told not to**: `stream` is always written. A stream is of lines of JSON, each
//!   an answer with what is new, and is complete with the line that says `done` alone. An error may come
//!   in place of any line.
//! - **A message is one text**, with pictures beside it that have no place in it. Several texts of a
//!   user are one with blank lines between, as the server itself joins them.
//! - **Pictures are bytes**: nothing is fetched, and their type is seen from them.
//! - **Arguments are objects**, and ids of calls are new: older servers know the order alone.
//! - **Nothing forces a tool**, and nothing keeps the model from several calls.
//! - **`stop` is the reason for calls too.** With calls it is [`ToolUse`](crate::hub::StopReason::ToolUse)
//!   here.
//! - **`prompt_eval_count` may be missing** where the whole prompt was cached.

mod calls;
mod decode_answer;
mod decode_request;
mod decode_stream;
mod definitions;
mod encode_answer;
mod encode_params;
mod encode_request;
mod form;
mod logprobs;
mod messages;
mod offered;
mod params;
mod said;
mod spent;
mod time;

#[cfg(test)]
mod tests;

pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
