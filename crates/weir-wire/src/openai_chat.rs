//! The OpenAI chat completions dialect, as OpenAI and four in five providers speak it.
//!
//! Vendors' members that mean something to others are understood wherever they appear:
//! `reasoning_content`, `reasoning` and `reasoning_details` (thoughts), `cache_control` (cache hints),
//! `extra_content.google.thought_signature` (seals), Mistral's lists of content. All else that is not
//! OpenAI's is kept for targets and callers of this dialect.

mod audio;
mod calls;
mod choice;
mod content;
mod decode_answer;
mod decode_request;
mod decode_stream;
mod definitions;
mod encode_answer;
mod encode_params;
mod encode_request;
mod encode_stream;
mod error;
mod form;
mod fragment;
mod messages;
mod params;
mod parts;
mod said;
mod stream_choice;
mod stream_part;
mod thinking;

#[cfg(test)]
mod tests;

pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
pub use encode_stream::StreamEncoder;
pub(crate) use error::code as error_code;
pub use error::{encode_error, error_event, error_words};

// What text completions share with this dialect.
pub(crate) use encode_answer::{reason_word, usage as write_usage};
pub(crate) use form::MAX_TOKENS;
pub(crate) use params::take_plain as take_params;
