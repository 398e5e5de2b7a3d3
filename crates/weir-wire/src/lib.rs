//! Weir's pure wire layer: bytes in, facts and bytes out. No I/O, no clock, no runtime.

pub mod usage;
