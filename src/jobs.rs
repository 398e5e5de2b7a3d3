//! Background jobs, one file each.

pub mod key_watch;
pub mod reports;
pub mod usage_writer;
