//! The integration tests, in one binary: one file per feature.

mod store;
mod support;
