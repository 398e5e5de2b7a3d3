//! OpenAI's legacy text completions (`/v1/completions`), a thin form for its callers. Inbound only:
//! the request becomes a conversation of one user's turn, and the answer's text comes back as
//! `text_completion`. A target that speaks text completions itself is called without this.
//!
//! - **No dialect of its own.** Requests and answers are of [`Dialect::OpenAiChat`](crate::hub::Dialect):
//!   parameters have the same names and meanings, so that losses are named right, and members that only
//!   OpenAI-like providers know (`system_fingerprint`, `best_of`) pass between them as they do in chat.
//! - **What would change the question is refused**: several prompts, prompts of token ids, a suffix.
//!   What only asks for more than an answer (`echo`, `best_of`) stays in the request's extra, which
//!   encoders of other dialects report as lost.
//! - **`max_tokens` is 16 if the caller gives none**, as the API documents.
//! - **Only text comes back.** Thoughts, calls and citations are losses; a refusal's words are text.

mod decode_request;
mod encode_answer;
mod encode_stream;
mod logprobs;

#[cfg(test)]
mod tests;

pub use decode_request::decode_request;
pub use encode_answer::encode_answer;
pub use encode_stream::StreamEncoder;
