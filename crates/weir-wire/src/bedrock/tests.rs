//! The laws of the dialect, and what came in other dialects said in this one.

mod answers;
mod foreign;
mod generate;
mod laws;
mod streams;
