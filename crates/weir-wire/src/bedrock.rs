//! The AWS Bedrock Converse dialect: `converse` and `converse-stream`, as a target.
//!
//! Written are requests, read are answers and streams; requests are read and answers written too,
//! for the law that what comes back in the same dialect is the same. The model stands in the path
//! and not in the body. Streams are messages of [`crate::eventstream`]. What Converse does not
//! cover and a gateway needs, embeddings, is in [`embed`].

mod choice;
mod citations;
mod content;
mod decode_answer;
mod decode_request;
mod decode_stream;
mod documents;
mod encode_answer;
mod encode_params;
mod encode_request;
mod form;
mod media;
mod messages;
mod params;
mod parts;
mod reasoning;
mod results;
mod stream_blocks;
mod system;
mod thinking;
mod tools;

pub mod embed;

#[cfg(test)]
mod tests;

pub use decode_answer::decode_answer;
pub use decode_request::decode_request;
pub use decode_stream::StreamDecoder;
pub use encode_answer::encode_answer;
pub use encode_request::encode_request;
