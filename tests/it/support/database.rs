//! A database for a test: a SQLite file of its own, or a fresh PostgreSQL database. Several gateways
//! may share it.

use std::path::PathBuf;

use tempfile::TempDir;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::postgres;

/// Where gateways under test keep their data.
pub(crate) struct Database {
    pub(crate) url: String,
    folder: Option<TempDir>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        Self { url: format!("sqlite://{}", folder.path().join("weir.db").display()), folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Self {
        Self { url: postgres::fresh_database().await, folder: None }
    }

    /// Does something to it behind the gateway's back.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.folder.is_some() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// The files of a SQLite database.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = self.folder.iter().flat_map(|folder| std::fs::read_dir(folder.path()).unwrap());
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// Runs each test, a function of a [`Database`], on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::support::database::Database;

            #[tokio::test]
            async fn on_sqlite() {
                super::$name(Database::sqlite()).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$name(Database::postgres().await).await;
            }
        })+
    };
}
pub(crate) use on_both;
