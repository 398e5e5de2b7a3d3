//! What usage comes to: costs over time, receipts, scheduled reports, exports, providers' own
//! invoices beside it, and what other models would have cost. Everything here reads the ledger; nothing writes to it.

pub mod canonical;
pub mod costs;
pub mod forecast;
pub mod invoice;
pub mod models;
pub mod parquet;
pub mod receipt;
pub mod recommend;
pub mod savings;
pub mod schedule;
pub mod zone;
