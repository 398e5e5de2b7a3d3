//! Routing: from a model name to upstream targets, in order.

pub mod needs;
pub mod plan;
pub mod policy;
