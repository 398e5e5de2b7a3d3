//! What the admin API and the command line do alike, apart from HTTP and terminal.

pub mod budgets;
pub mod alerts;
pub mod keys;
pub mod prices;
pub mod rerate;
pub mod when;
