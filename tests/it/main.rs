//! The integration tests, in one binary: one file per feature.

mod bad_input;
mod chat;
mod cli;
mod config_keys;
mod errors;
mod fidelity;
mod keys;
mod layering;
mod limits;
mod operations;
mod passthrough;
mod routes;
mod secrets;
mod store;
mod streams;
mod support;
mod usage;
