//! What all fuzz targets share: the entries that the tests of `weir-wire` feed, too.
//!
//! `cargo +nightly fuzz run openai_chat_request` (with `cargo install cargo-fuzz`) feeds one of them
//! until something that must hold does not. What it finds goes into `tests/robustness.rs`, `FOUND`.

#[path = "../../tests/robustness/entries.rs"]
mod entries;

pub use entries::{ENTRIES, run};
