//! Embeddings: OpenAI's form from callers, and the forms of the providers.
//!
//! A request is read ([`decode_request`]), perhaps cut to what a provider takes at once ([`plan`],
//! [`Request::part`]), and written for it ([`encode_request`]). Answers are read ([`decode_answer`]),
//! put together ([`join`]) and written in the caller's form ([`encode_answer`]).
//!
//! - **Numbers are not touched** on the way from a provider that sends decimals to a caller who wants
//!   them. Packed numbers are 32-bit floats in little-endian order, in base64, as the official SDKs
//!   ask for by default; from decimals each is rounded once, to decimals each is the shortest that
//!   reads as the same float.
//! - **Order is the caller's**, whatever the provider's, and a provider that gives another number of
//!   vectors than it was given inputs has failed: a vector must never be another text's.
//! - **What the text is for** has a word in most forms (`input_type`, `task_type`, `task`). A caller
//!   says it in any of them.
//! - **Tokens** as input are numbers of one tokenizer and are refused where another reads them.

pub(crate) mod answer;
pub(crate) mod encode;
mod plan;
mod purpose;
mod request;
mod vector;

#[cfg(test)]
mod tests;

pub use answer::{decode_answer, encode_answer};
pub use encode::encode_request;
pub use plan::{JoinError, Limits, join, plan};
pub use purpose::Purpose;
pub use request::decode_request;
pub use vector::Vector;

use serde::{Deserialize, Serialize};

use crate::bedrock::embed::Style;
use crate::hub::{Extra, Json, Num, Spent};

/// The form of a provider's embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI `/embeddings`, which most speak.
    OpenAi,
    /// Cohere `/v2/embed`.
    Cohere,
    /// Gemini `:batchEmbedContents`, and `:embedContent` in answers.
    Gemini,
    /// Vertex AI `:predict`.
    Vertex,
    /// Voyage `/embeddings`.
    Voyage,
    /// Jina `/embeddings`.
    Jina,
    /// Text Embeddings Inference `/embed`.
    Tei,
    /// Hugging Face's feature extraction.
    FeatureExtraction,
    /// Ollama `/api/embed`, and `/api/embeddings` in answers.
    Ollama,
    /// Bedrock `invoke`, whose bodies are those of the model's maker.
    Bedrock(Style),
}

/// A request for embeddings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The model asked for.
    pub model: String,
    /// What to embed, in order; never empty when it was read.
    pub inputs: Vec<Input>,
    /// The input was one, not a list of one.
    pub single: bool,
    /// How many numbers a vector has.
    pub dimensions: Option<Num>,
    /// How the caller wants the vectors.
    pub encoding: Option<Encoding>,
    /// The end user.
    pub user: Option<String>,
    /// What the texts are for.
    pub purpose: Option<Purpose>,
    /// What becomes of texts that are too long.
    pub truncate: Option<Truncate>,
    /// Members beside OpenAI's, those of purpose and truncation among them.
    pub extra: Extra,
}

/// One thing to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Text.
    Text(String),
    /// Token numbers, as they were written, and how many.
    Tokens(Json, u64),
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A list of decimals.
    Float,
    /// 32-bit floats in little-endian order, in base64.
    Base64,
}

impl Encoding {
    /// OpenAI's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Base64 => "base64",
        }
    }
}

/// What becomes of a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncate {
    /// It is refused.
    No,
    /// Its start is cut off.
    Start,
    /// Its end is cut off.
    End,
}

/// Vectors, in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The model that served.
    pub model: Option<String>,
    /// The vectors.
    pub items: Vec<Item>,
    /// What was consumed.
    pub usage: Option<Spent>,
    /// Members beside OpenAI's.
    pub extra: Extra,
}

/// One vector, and what stood beside it in OpenAI's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The vector.
    pub vector: Vector,
    /// Members beside OpenAI's.
    pub extra: Extra,
}
