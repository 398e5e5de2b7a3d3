//! Background jobs, one file each.

pub mod key_watch;
pub mod price_watch;
pub mod usage_writer;
