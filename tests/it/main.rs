//! The integration tests, in one binary: one file per feature.

mod chat;
mod store;
mod support;
