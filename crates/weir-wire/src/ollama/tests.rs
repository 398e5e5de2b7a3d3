mod foreign;
mod generate;
mod laws;
mod streams;
