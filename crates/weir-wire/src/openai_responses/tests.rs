//! The laws of this dialect, and what it makes of other dialects' words.

mod foreign;
mod generate;
mod laws;
mod streams;
