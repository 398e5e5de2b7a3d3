//! The HTTP layer: the only part that knows axum. Handlers extract, call and answer; what they call
//! lives elsewhere.

pub mod admin;
pub mod anthropic;
pub mod auth;
pub mod azure;
pub mod body;
pub mod docs;
pub mod error;
pub mod estimate;
pub mod gemini;
pub mod generate;
pub mod health;
pub mod layers;
pub mod metrics;
pub mod models;
pub mod openai;
pub mod path;
pub mod query;
pub mod router;
pub mod server;
