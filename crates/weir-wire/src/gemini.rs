//! The Gemini dialect: `generateContent` and `streamGenerateContent`, as the Gemini API and Vertex AI
//! speak it.
//!
//! Members are read in camelCase and in snake_case, as Google's own front end does, and come back as
//! they were written. The model is in the path, and so is whether to stream: neither is in the body.
//! A stream is server-sent events (`alt=sse`) or, without that, one JSON array ([`ArrayFramer`]); it ends
//! with its connection, and is whole when every candidate has its `finishReason`.

mod array;
mod candidate;
mod contents;
mod count;
mod decode_answer;
mod decode_request;
mod decode_stream;
pub mod embed;
mod encode_answer;
mod encode_params;
mod encode_request;
mod encode_stream;
mod error;
mod form;
mod format;
mod functions;
mod grounding;
mod logprobs;
mod media;
mod names;
mod octets;
mod params;
mod partial_args;
mod parts;
mod reasoning;
pub mod schema;
mod seals;
mod stop;
mod stream_candidate;
mod tool_config;
mod tools;
mod usage;
mod write_parts;

#[cfg(test)]
mod tests;

pub use array::{ArrayError, ArrayFramer};
pub use count::{CountForm, decode_count, decode_count_answer, encode_count, encode_count_request};
pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
pub use encode_stream::{Framing, StreamEncoder};
pub use error::{encode_error, error_event};
pub use usage::read_usage;
