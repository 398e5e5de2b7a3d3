//! Opening, migrating and being without a database.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{Connection, PgConnection, SqliteConnection};
use weir::store::{Db, Engine, Options, StoreErrorKind, keys, settings, statements, usage};

use super::{NOW, on_both_engines, sqlite, sqlite_url, usage_row};
use crate::support;

on_both_engines!(every_sql_text_is_understood, a_second_migration_changes_nothing, a_closed_store_says_so);

async fn every_sql_text_is_understood(db: &Db) {
    let texts = statements(db.engine());
    assert!(texts.len() > 50);
    for text in texts {
        if let Err(e) = db.prepare(&text).await {
            panic!("{:?} does not understand {text}: {e}", db.engine());
        }
    }
}

async fn a_second_migration_changes_nothing(db: &Db) {
    settings::set(db, "a", "1").await.unwrap();
    db.migrate().await.unwrap();
    assert_eq!(settings::get(db, "a").await.unwrap().as_deref(), Some("1"));
    db.ping().await.unwrap();
}

async fn a_closed_store_says_so(db: &Db) {
    db.close().await;
    let error = db.ping().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.is_retryable());
}

async fn migrate_twice_at_once(url: &str) {
    let open = || Db::open(url, &Options::default()).expect("opens");
    let (one, two, three) = (open(), open(), open());
    let (a, b, c) = tokio::join!(one.migrate(), two.migrate(), three.migrate());
    a.and(b).and(c).expect("one works, the others wait");
    assert_eq!(keys::current_rev(&two).await.unwrap(), 0);
}

#[tokio::test]
async fn sqlite_instances_migrate_at_once() {
    let folder = tempfile::tempdir().unwrap();
    migrate_twice_at_once(&sqlite_url(&folder)).await;
}

#[tokio::test]
async fn postgres_instances_migrate_at_once() {
    migrate_twice_at_once(&support::postgres::fresh_database().await).await;
}

/// Table, position, column, type.
type Columns = Vec<(String, i64, String, String)>;

async fn sqlite_columns(url: &str) -> Columns {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    sqlx::query_as(
        "SELECT m.name, CAST(c.cid AS BIGINT), c.name, c.type || CASE WHEN c.\"notnull\" = 1 THEN ' NOT NULL' ELSE '' END
         FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

async fn postgres_columns(url: &str) -> Columns {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_as(
        "SELECT c.table_name::text, c.ordinal_position::bigint - 1, c.column_name::text,
             upper(c.data_type) || CASE WHEN c.is_nullable = 'NO' THEN ' NOT NULL' ELSE '' END
         FROM information_schema.columns c JOIN pg_class p ON p.relname = c.table_name
         WHERE c.table_schema = 'public' AND NOT p.relispartition AND c.table_name NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

/// JSON is the one type that differs.
fn comparable(columns: Columns) -> BTreeMap<(String, i64), (String, String)> {
    columns.into_iter().map(|(t, n, c, ty)| ((t, n), (c, ty.replace("JSONB", "TEXT")))).collect()
}

#[tokio::test]
async fn both_migration_trees_make_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let urls = [sqlite_url(&folder), support::postgres::fresh_database().await];
    for url in &urls {
        Db::open(url, &Options::default()).unwrap().migrate().await.unwrap();
    }
    let (lite, big) = (comparable(sqlite_columns(&urls[0]).await), comparable(postgres_columns(&urls[1]).await));
    assert!(lite.len() > 150);
    assert_eq!(lite, big);
}

#[test]
fn both_migration_trees_have_the_same_files() {
    let names = |engine: &str| {
        let folder = format!("{}/migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

/// A database as it was before rows had warnings, with a row in it.
async fn before_warnings(url: &str) -> [&'static str; 2] {
    let db = Db::open(url, &Options::default()).unwrap();
    db.migrate().await.unwrap();
    assert_eq!(usage::insert_batch(&db, &[usage_row("old", NOW)]).await.unwrap().rows, 1);
    db.close().await;
    ["ALTER TABLE usage DROP COLUMN warnings", "DELETE FROM _sqlx_migrations WHERE version = 4"]
}

async fn warnings_come_to_an_old_database(url: &str) {
    let db = Db::open(url, &Options::default()).unwrap();
    let page = async || usage::page(&db, &usage::Filter::default(), None, 10).await;
    assert!(page().await.is_err(), "the column is gone");
    db.migrate().await.unwrap();
    let mut row = usage_row("new", NOW + 1);
    row.warnings = vec!["temperature dropped".to_owned()];
    assert_eq!(usage::insert_batch(&db, &[row.clone()]).await.unwrap().rows, 1);
    let rows = page().await.unwrap().rows;
    assert_eq!((&rows[0].warnings, &rows[1].warnings), (&row.warnings, &Vec::new()));
}

#[tokio::test]
async fn rows_of_an_old_sqlite_file_have_no_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder);
    let back = before_warnings(&url).await;
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for text in back {
        sqlx::query(text).execute(&mut connection).await.unwrap();
    }
    warnings_come_to_an_old_database(&url).await;
}

#[tokio::test]
async fn rows_of_an_old_postgres_database_have_no_warnings() {
    let url = support::postgres::fresh_database().await;
    let back = before_warnings(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for text in back {
        sqlx::query(text).execute(&mut connection).await.unwrap();
    }
    warnings_come_to_an_old_database(&url).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_sqlite_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, db) = sqlite().await;
    settings::set(&db, "a", "1").await.unwrap();
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("new"), 0o700);
    for file in ["new/weir.db", "new/weir.db-wal"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[tokio::test]
async fn urls_that_cannot_work_are_refused_without_repeating_them() {
    for url in [
        "",
        "mysql://weir:hunter2@db/weir",
        "postgres://weir:hunter2@db:port/weir",
        "sqlite::memory:",
        "sqlite://",
        "sqlite://x.db?hunter2=1",
    ] {
        let error = Db::open(url, &Options::default()).expect_err(url);
        assert_eq!(error.kind(), StoreErrorKind::Config, "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let db = Db::open("postgres://weir:hunter2@127.0.0.1:1/weir", &Options::default()).unwrap();
    assert!(!format!("{db:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("new"), "a file").unwrap();
    let error = Db::open(&sqlite_url(&folder), &Options::default()).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("/new"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("new")).unwrap();
    std::fs::write(folder.path().join("new/weir.db"), "x".repeat(10_000)).unwrap();
    let db = Db::open(&sqlite_url(&folder), &Options::default()).unwrap();
    assert_eq!(db.migrate().await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_gateway_can_start_while_its_database_is_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let options = Options { acquire_timeout: Duration::from_millis(200), ..Options::default() };
    let db = Db::open(&format!("postgres://weir:hunter2@127.0.0.1:{port}/weir"), &options).unwrap();
    for error in [
        db.ping().await.unwrap_err(),
        db.migrate().await.unwrap_err(),
        usage::insert_batch(&db, &[usage_row("a", NOW)]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    assert_eq!(db.engine(), Engine::Postgres);
}

#[tokio::test]
async fn a_database_that_never_answers_is_given_up() {
    // It accepts connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://weir:weir@{}/weir", listener.local_addr().unwrap());
    let options = Options { acquire_timeout: Duration::from_millis(100), ..Options::default() };
    let error = Db::open(&url, &options).unwrap().ping().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_store_recovers_when_its_connections_are_cut() {
    let url = support::postgres::fresh_database().await;
    let db = Db::open(&url, &Options { connections: 1, ..Options::default() }).unwrap();
    db.migrate().await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir' AND datname = current_database()")
        .execute(&mut admin)
        .await
        .unwrap();
    // The pool tests a connection before it hands it out, so the cut is not even seen.
    settings::set(&db, "a", "1").await.unwrap();
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_given_up_and_its_connection_closed() {
    let url = support::postgres::fresh_database().await;
    let options = Options { connections: 1, statement_timeout: Duration::from_millis(300), ..Options::default() };
    let db = Db::open(&url, &options).unwrap();
    db.migrate().await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE settings").execute(&mut *lock).await.unwrap();
    assert_eq!(settings::set(&db, "a", "1").await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    lock.rollback().await.unwrap();
    settings::set(&db, "a", "2").await.unwrap();
    assert_eq!(settings::get(&db, "a").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn a_locked_sqlite_file_is_waited_for_and_then_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { acquire_timeout: Duration::from_millis(200), ..Options::default() };
    let db = Db::open(&sqlite_url(&folder), &options).unwrap();
    db.migrate().await.unwrap();
    let mut backup = SqliteConnection::connect(&sqlite_url(&folder)).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut backup).await.unwrap();
    let error = usage::insert_batch(&db, &[usage_row("a", NOW)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    // Reading goes on meanwhile.
    assert_eq!(settings::get(&db, "a").await.unwrap(), None);
    sqlx::query("ROLLBACK").execute(&mut backup).await.unwrap();
    assert_eq!(usage::insert_batch(&db, &[usage_row("a", NOW)]).await.unwrap().rows, 1);
}
