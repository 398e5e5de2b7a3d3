//! The Anthropic messages dialect: requests, answers, streams, errors and token counts.
//!
//! Instructions are the member `system`, or, later in the conversation, messages of that role. Tool
//! results stand first in the user's message behind the calls. What the provider runs itself (server
//! tools and their results, searches, uploads, compactions) is kept whole as opaque parts.
//!
//! Thoughts of other makers reach callers of this dialect with a signature of Weir's own that names
//! their maker, and are recognised by it when they are sent back (`seals.rs`).

mod blocks;
mod cache;
mod choice;
mod citations;
mod content;
mod conversation;
mod count;
mod decode_answer;
mod decode_request;
mod decode_stream;
mod definitions;
mod encode_answer;
mod encode_block;
mod encode_params;
mod encode_request;
mod encode_stream;
mod error;
mod form;
mod params;
mod reasoning;
mod schema;
mod seals;
mod source;
mod stop;
mod stream_block;
mod usage;

#[cfg(test)]
mod tests;

pub use count::{decode_count, encode_count, encode_count_request};
pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
pub use encode_stream::{PING, StreamEncoder};
pub use error::{encode_error, error_event};
