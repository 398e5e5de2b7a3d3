//! Weir: an LLM gateway in one binary.
//!
//! `ARCHITECTURE.md` is the map. A request passes, in this order, `http` (who, what), `gate` (may it),
//! `route` (where to), `dispatch` (try, retry, fall back), `upstream` (bytes) and ends in its
//! `flight`, which settles into the ledger of `meter`.

pub mod admin;
pub mod alerts;
pub mod app;
pub mod budget;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod condition;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod error;
pub mod events;
pub mod faults;
pub mod flight;
pub mod gate;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod limits;
pub mod log;
pub mod meter;
pub mod money;
pub mod price;
pub mod record;
pub mod redis;
pub mod reports;
pub mod route;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod upstream;
