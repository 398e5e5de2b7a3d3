//! What must outlive the process: settings, virtual keys, the usage ledger, provider objects.
//!
//! One SQL text serves SQLite and PostgreSQL. The rules that make it possible: ids are `TEXT`, times
//! `BIGINT` milliseconds, money `BIGINT` nano-dollars; JSON (`TEXT` here, `JSONB` there) is the only
//! type that differs; the database's clock is never asked; a sum is `CAST(SUM(..) AS BIGINT)`.

pub mod budgets;
pub mod configs;
mod db;
mod error;
pub mod invoices;
pub mod keys;
pub mod leases;
pub mod objects;
pub mod outbox;
pub mod prices;
pub mod reconcile;
pub mod reports;
pub mod responses;
mod session;
pub mod settings;
pub mod shadows;
pub mod shares;
mod statement;
pub mod upstreams;
pub mod usage;

pub use db::{Db, Engine, Options};
pub use error::{StoreError, StoreErrorKind};

/// Every fixed SQL text, and the shapes that are built at run time, for the test that prepares them
/// on both engines.
#[doc(hidden)]
#[must_use]
pub fn statements(engine: Engine) -> Vec<String> {
    let fixed = [
        settings::STATEMENTS,
        keys::STATEMENTS,
        budgets::STATEMENTS,
        configs::STATEMENTS,
        leases::STATEMENTS,
        reconcile::STATEMENTS,
        objects::STATEMENTS,
        reports::STATEMENTS,
        prices::STATEMENTS,
        responses::STATEMENTS,
        shares::STATEMENTS,
        upstreams::STATEMENTS,
    ]
    .concat();
    let built = [
        budgets::shapes().to_vec(),
        invoices::statements(engine),
        usage::statements(engine),
        outbox::statements(engine),
        shadows::statements(engine),
    ]
    .concat();
    fixed.into_iter().map(str::to_owned).chain(built).collect()
}
