//! Reranking: Cohere's form, version 2, from callers, as Jina and others take it too; the forms of
//! the providers.
//!
//! Answers are given in the same form whoever served: `results` with `index` and `relevance_score`,
//! best first, the document with each if the caller asked for it. Providers are never asked to send
//! documents back: the request has them. `top_n` holds for those too who have no such parameter.

mod answer;
mod encode;
mod request;

#[cfg(test)]
mod tests;

pub use answer::{decode_answer, encode_answer};
pub use encode::encode_request;
pub use request::decode_request;

use serde::{Deserialize, Serialize};

use crate::hub::{Extra, Json, Num, Spent};

/// The form of a provider's reranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Cohere `/v2/rerank`.
    Cohere,
    /// Jina `/v1/rerank`, and those who follow it.
    Jina,
    /// Voyage `/v1/rerank`.
    Voyage,
    /// Text Embeddings Inference `/rerank`.
    Tei,
}

/// A request to order documents by what they say to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The model asked for.
    pub model: String,
    /// The query.
    pub query: String,
    /// The documents; never empty when it was read.
    pub documents: Vec<Document>,
    /// How many of the best to give.
    pub top_n: Option<Num>,
    /// Whether the documents are to be given back.
    pub return_documents: Option<bool>,
    /// Members beside these.
    pub extra: Extra,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Its text.
    Text(String),
    /// An object, as it was written, and its `text` if it has one.
    Object(Json, Option<String>),
}

/// Documents in the order of their relevance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its id.
    pub id: Option<String>,
    /// The model that served.
    pub model: Option<String>,
    /// The results, best first.
    pub results: Vec<Ranked>,
    /// What was consumed.
    pub usage: Option<Spent>,
    /// Members beside these.
    pub extra: Extra,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Which document of the request.
    pub index: usize,
    /// How relevant it is, as it was written.
    pub score: Num,
    /// Members beside these; a document that was sent back is not among them.
    pub extra: Extra,
}
