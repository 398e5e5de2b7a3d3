//! Metering: what was used, what it cost, and where that is written.

pub mod count;
pub mod journal;
pub mod ledger;
pub mod prom;
