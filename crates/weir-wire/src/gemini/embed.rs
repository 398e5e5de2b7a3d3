//! Embeddings for callers of this dialect: requests to `:embedContent` and `:batchEmbedContents` read
//! into [`crate::embed::Request`], and answers written. Providers of this dialect are
//! [`crate::embed::Api::Gemini`].

mod decode_request;
mod encode_answer;

#[cfg(test)]
mod tests;

pub use decode_request::decode_request;
pub use encode_answer::encode_answer;
