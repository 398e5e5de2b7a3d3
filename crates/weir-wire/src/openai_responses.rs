//! The OpenAI Responses dialect: a conversation of items, and a stream of what becomes of them.
//!
//! Items that other dialects can say are understood: messages, function and custom tool calls with
//! their outputs, reasoning. All others (tools that OpenAI runs, references, compactions) are kept
//! as they are for targets and callers of this dialect.
//!
//! Consecutive items of the model are one turn in the hub. Which parts were one item is in their
//! form, the ids and states of items are quiet members of their extra. What a conversation refers
//! to elsewhere ([`take_state`]) has to be fetched before another dialect can be told.

mod call;
mod choice;
mod content;
mod decode_answer;
mod decode_request;
mod decode_stream;
mod definitions;
mod echo;
mod encode_answer;
mod encode_params;
mod encode_request;
mod encode_stream;
mod error;
mod form;
mod item;
mod kept;
mod logprobs;
mod params;
mod parts;
mod said;
mod seals;
mod state;
mod stream_item;
mod stream_out;
mod thinking;
mod written;

#[cfg(test)]
mod tests;

pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use echo::echo;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
pub use encode_stream::StreamEncoder;
pub use error::error_event;
pub use kept::{items, items_of, references, turns, with_answer, with_items};
pub use state::{State, continue_from, take_state};
