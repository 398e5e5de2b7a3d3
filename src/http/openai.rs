//! OpenAI's dialect: its endpoints under `/v1`.

pub mod counts;
pub mod endpoints;
pub mod kept;
pub mod models;
pub mod passthrough;
pub mod usage;
