//! OpenAI's dialect: its endpoints under `/v1`.

pub mod endpoints;
pub mod models;
pub mod passthrough;
pub mod usage;
