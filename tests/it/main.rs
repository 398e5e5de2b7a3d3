//! The integration tests, in one binary: one file per feature.
#![expect(clippy::unwrap_used, reason = "tests, and what helps them: clippy knows only the former by itself")]

mod alerts;
mod bad_input;
mod budgets;
mod budgets_admin;
mod chat;
mod cli;
mod config_keys;
mod demo;
mod dialects;
mod door;
mod embeddings;
mod errors;
mod faults;
mod fidelity;
mod health_checks;
mod keys;
mod layering;
mod ledger;
mod limits;
mod models;
mod operations;
mod passthrough;
mod prices;
mod reload;
mod reports;
mod rerank;
mod restart;
mod routes;
mod routing;
mod secrets;
mod signers;
mod store;
mod streams;
mod support;
mod usage;
