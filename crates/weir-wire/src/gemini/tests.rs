//! The laws of this dialect, and what comes from and goes to others.

mod cross;
mod generate;
mod laws;
mod odd;
mod seals;
mod streams;
