//! The integration tests, in one binary: one file per feature.

mod chat;
mod keys;
mod limits;
mod operations;
mod store;
mod support;
mod usage;
