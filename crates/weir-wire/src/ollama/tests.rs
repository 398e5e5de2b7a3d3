mod generate;
mod laws;
mod streams;
