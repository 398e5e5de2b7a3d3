//! A connection taken from a pool, and a transaction on one.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Executor, FromRow, Postgres, SqlSafeStr, Sqlite};
use tokio::time::error::Elapsed;

use super::db::Engine;
use super::error::{StoreError, StoreErrorKind};
use super::statement::{Statement, postgres_arguments, sqlite_arguments};

/// A record that can be read from either engine's rows.
pub(crate) trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A pooled connection. One that is dropped within a statement (a deadline passed, the caller left)
/// or within a transaction is closed, because nobody knows what it will answer next.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    limit: Duration,
    in_statement: bool,
    in_transaction: bool,
}

#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// Runs one expression on whichever engine it is, within the session's time limit. The SQL is built
/// from constants and column names of this module alone; whatever comes from outside is a bound
/// value.
macro_rules! on_engine {
    ($session:expr, $statement:expr, |$connection:ident, $query:ident| $run:expr) => {{
        let Statement { text, args } = $statement;
        let text = AssertSqlSafe(text);
        let answer = match &mut $session.connection {
            Connection::Sqlite(pooled) => {
                let $query = sqlx::query_with(text, sqlite_arguments(args)?);
                let $connection = &mut **pooled;
                $session.in_statement = true;
                tokio::time::timeout($session.limit, $run).await
            }
            Connection::Postgres(pooled) => {
                let $query = sqlx::query_with(text, postgres_arguments(args)?);
                let $connection = &mut **pooled;
                $session.in_statement = true;
                tokio::time::timeout($session.limit, $run).await
            }
        };
        $session.answered(answer)
    }};
}

impl Session {
    pub(crate) fn new(connection: Connection, limit: Duration) -> Self {
        Self { connection, limit, in_statement: false, in_transaction: false }
    }

    /// Runs a statement; answers how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        on_engine!(self, statement, |c, query| async { query.execute(c).await.map(|done| done.rows_affected()) })
    }

    /// Runs a statement; answers its rows.
    pub(crate) async fn fetch_all<T: Record>(&mut self, statement: Statement) -> Result<Vec<T>, StoreError> {
        on_engine!(self, statement, |c, query| async {
            query.fetch_all(c).await?.iter().map(T::from_row).collect::<Result<Vec<T>, sqlx::Error>>()
        })
    }

    /// Runs a statement; answers its first row, if there is one.
    pub(crate) async fn fetch_optional<T: Record>(&mut self, statement: Statement) -> Result<Option<T>, StoreError> {
        on_engine!(self, statement, |c, query| async {
            query.fetch_optional(c).await?.as_ref().map(T::from_row).transpose()
        })
    }

    /// Asks the engine whether it understands a text.
    pub(crate) async fn prepare(&mut self, text: String) -> Result<(), StoreError> {
        let text = AssertSqlSafe(text).into_sql_str();
        match &mut self.connection {
            Connection::Sqlite(pooled) => (&mut **pooled).prepare(text).await.map(drop)?,
            Connection::Postgres(pooled) => (&mut **pooled).prepare(text).await.map(drop)?,
        }
        Ok(())
    }

    fn answered<T>(&mut self, answer: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, StoreError> {
        let answer = answer.map_err(|_| {
            let limit = self.limit;
            StoreError::new(StoreErrorKind::Unavailable, format!("the database did not answer within {limit:?}"))
        })?;
        self.in_statement = false;
        Ok(answer?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_statement || self.in_transaction {
            match &mut self.connection {
                Connection::Sqlite(pooled) => pooled.close_on_drop(),
                Connection::Postgres(pooled) => pooled.close_on_drop(),
            }
        }
    }
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back, by closing its connection.
#[derive(Debug)]
pub(crate) struct Tx(Session);

impl Tx {
    pub(crate) async fn begin(mut session: Session) -> Result<Self, StoreError> {
        // SQLite: take the write lock at once, so that waiting for it obeys busy_timeout; a read
        // transaction that turns into a writing one fails without waiting.
        let begin = match session.connection {
            Connection::Sqlite(_) => "BEGIN IMMEDIATE",
            Connection::Postgres(_) => "BEGIN",
        };
        session.execute(Statement::new(begin)).await?;
        session.in_transaction = true;
        Ok(Self(session))
    }

    /// Makes it last. After an error the outcome is unknown.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Undoes it, and keeps the connection.
    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    /// Undoes it after `error`, which is what the caller is told.
    pub(crate) async fn undone(self, error: StoreError) -> StoreError {
        // When even that fails, dropping the transaction closes its connection.
        let _ = self.rollback().await;
        error
    }

    async fn end(&mut self, how: &'static str) -> Result<(), StoreError> {
        let ended = self.0.execute(Statement::new(how)).await;
        self.0.in_transaction = ended.is_err();
        ended.map(drop)
    }

    /// Which database it runs on.
    pub(crate) fn engine(&self) -> Engine {
        match self.0.connection {
            Connection::Sqlite(_) => Engine::Sqlite,
            Connection::Postgres(_) => Engine::Postgres,
        }
    }
}

impl Deref for Tx {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}
