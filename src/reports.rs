//! What usage comes to: costs over time, receipts, scheduled reports, exports, and providers' own
//! invoices beside it. Everything here reads the ledger; nothing writes to it.

pub mod canonical;
pub mod costs;
pub mod forecast;
pub mod invoice;
pub mod models;
pub mod parquet;
pub mod receipt;
pub mod savings;
pub mod schedule;
pub mod zone;
