//! What can go wrong in the store, sorted by what the caller can do about it.

use std::borrow::Cow;

use sqlx::error::DatabaseError;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The database cannot be reached, is too busy or did not answer in time. Try again; a write
    /// may or may not have happened.
    Unavailable,
    /// The disk is full or read-only. Try again once there is room.
    Full,
    /// A row with this identity exists already.
    Conflict,
    /// The database refused the data itself. The same data will be refused again.
    Invalid,
    /// What the database holds cannot be read as what was written.
    Corrupt,
    /// The tables are not the ones this version expects.
    Schema,
    /// The database URL or its options cannot work.
    Config,
}

/// An error of the store. Its text holds neither the database URL nor a row's contents.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: Cow<'static, str>,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anyone changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable | StoreErrorKind::Full)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use StoreErrorKind::{Config, Corrupt, Invalid, Unavailable};
        match error {
            sqlx::Error::Database(e) => database(&*e),
            sqlx::Error::Io(e) => Self::new(Unavailable, format!("database unreachable: {e}")),
            sqlx::Error::Tls(_) => Self::new(Unavailable, "database unreachable: the TLS handshake failed"),
            sqlx::Error::PoolTimedOut => Self::new(Unavailable, "database busy: no connection became free in time"),
            sqlx::Error::PoolClosed => Self::new(Unavailable, "database closed"),
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
                Self::new(Unavailable, "the database connection broke")
            }
            sqlx::Error::Configuration(_) => Self::new(Config, "database URL or its options are not valid"),
            sqlx::Error::ColumnDecode { index, source } => {
                Self::new(Corrupt, format!("column {index} holds an unreadable value: {source}"))
            }
            sqlx::Error::Decode(e) => Self::new(Corrupt, format!("unreadable value: {e}")),
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Self::new(Invalid, "a value cannot be stored"),
            sqlx::Error::Migrate(e) => (*e).into(),
            other => Self::new(StoreErrorKind::Schema, format!("unexpected answer of the database: {other}")),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(e) => e.into(),
            sqlx::migrate::MigrateError::ExecuteMigration(e, version) => {
                let inner = Self::from(e);
                Self::new(inner.kind, format!("migration {version} failed: {inner}"))
            }
            other => Self::new(StoreErrorKind::Schema, format!("cannot migrate the database: {other}")),
        }
    }
}

/// Sorts an error the database itself answered. SQLite answers a number (its extended result code,
/// https://www.sqlite.org/rescode.html), PostgreSQL five characters (SQLSTATE, appendix A of its
/// manual).
fn database(error: &dyn DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let kind = if error.is_unique_violation() {
        StoreErrorKind::Conflict
    } else if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        sqlite_kind(code.parse().unwrap_or(0))
    } else {
        postgres_kind(&code)
    };
    StoreError::new(kind, format!("database error {code}: {}", error.message()))
}

fn sqlite_kind(extended: u32) -> StoreErrorKind {
    match extended & 0xff {
        // BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, CANTOPEN, PROTOCOL
        5 | 6 | 7 | 9 | 10 | 14 | 15 => StoreErrorKind::Unavailable,
        // READONLY, FULL
        8 | 13 => StoreErrorKind::Full,
        // CORRUPT, NOTADB
        11 | 26 => StoreErrorKind::Corrupt,
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE
        18 | 19 | 20 | 25 => StoreErrorKind::Invalid,
        _ => StoreErrorKind::Schema,
    }
}

fn postgres_kind(state: &str) -> StoreErrorKind {
    match state.get(..2).unwrap_or_default() {
        "53" if state == "53100" => StoreErrorKind::Full,
        // connection, serialization failure or deadlock, resources, not in prerequisite state,
        // operator intervention, system error
        "08" | "40" | "53" | "55" | "57" | "58" => StoreErrorKind::Unavailable,
        // a standby, or a transaction set to read-only: a failover in progress
        "25" if state == "25006" => StoreErrorKind::Unavailable,
        // data, constraint, program limit
        "22" | "23" | "54" => StoreErrorKind::Invalid,
        // authorization, catalog name
        "28" | "3D" => StoreErrorKind::Config,
        "XX" => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_code_says_what_to_do() {
        use StoreErrorKind::*;
        for (code, kind) in
            [(5, Unavailable), (517, Unavailable), (13, Full), (11, Corrupt), (1299, Invalid), (1, Schema)]
        {
            assert_eq!(sqlite_kind(code), kind, "{code}");
        }
        for (code, kind) in [
            ("57P01", Unavailable),
            ("40P01", Unavailable),
            ("53300", Unavailable),
            ("53100", Full),
            ("22021", Invalid),
            ("23514", Invalid),
            ("28P01", Config),
            ("42P01", Schema),
            ("", Schema),
            ("é", Schema),
        ] {
            assert_eq!(postgres_kind(code), kind, "{code}");
        }
    }

    #[test]
    fn a_bad_url_is_not_repeated() {
        let error = sqlx::Error::Configuration("postgres://weir:hunter2@db".into());
        assert!(!StoreError::from(error).to_string().contains("hunter2"));
    }
}
