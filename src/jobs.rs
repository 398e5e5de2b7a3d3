//! Background jobs, one file each.

pub mod alerts;
pub mod budget_keeper;
pub mod config_watch;
pub mod health_checks;
pub mod journal_sync;
pub mod key_watch;
pub mod outbox;
pub mod price_watch;
pub mod reconcile;
pub mod reports;
pub mod shadow_log;
pub mod shadows;
pub mod shares;
pub mod stall_watch;
mod trouble;
pub mod upstream_watch;
pub mod usage_writer;
