//! The integration tests, in one binary: one file per feature.

mod bad_input;
mod chat;
mod errors;
mod fidelity;
mod keys;
mod limits;
mod operations;
mod passthrough;
mod routes;
mod store;
mod streams;
mod support;
mod usage;
