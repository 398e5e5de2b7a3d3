//! Background jobs, one file each.

pub mod budget_keeper;
pub mod journal_sync;
pub mod alerts;
pub mod key_watch;
pub mod outbox;
pub mod reports;
pub mod price_watch;
pub mod usage_writer;
