//! The database: SQLite in a file beside the gateway, or PostgreSQL shared by its replicas.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::error::{StoreError, StoreErrorKind};
use super::session::{Connection, Session, Tx};
use super::statement::Statement;

/// How the database is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most connections: to PostgreSQL in all, to SQLite for reading (one more writes).
    pub connections: u32,
    /// How long a call waits for a free connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take. Migrations are not bound by it.
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 10, acquire_timeout: Duration::from_secs(5), statement_timeout: Duration::from_secs(30) }
    }
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, one writer.
    Sqlite,
    /// A server, shared by replicas.
    Postgres,
}

/// A handle to the database; cloning it is cheap and shares the pools.
#[derive(Clone)]
pub struct Db {
    pools: Pools,
    statement_timeout: Duration,
    /// Months whose partitions are known to exist (PostgreSQL).
    pub(super) months: Arc<Mutex<BTreeSet<i64>>>,
}

#[derive(Clone)]
enum Pools {
    /// SQLite lets one connection write at a time, so exactly one does, and writers queue for it in
    /// order instead of polling the file's lock.
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres(PgPool),
}

impl Db {
    /// Opens the database of a URL: `sqlite://path/to/file.db` or `postgres://user:password@host/name`.
    ///
    /// Makes the SQLite file and its folder, readable by this user alone. Connects to nothing yet:
    /// the first call does, so that the gateway can start while its database is down. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// `Config` when the URL is neither; `Unavailable` or `Full` when the file cannot be made. The
    /// URL is never repeated, because it may hold a password.
    pub fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let pools = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => sqlite_pools(url, options)?,
            Some("postgres" | "postgresql") => Pools::Postgres(postgres_pool(url, options)?),
            _ => return Err(config("database URL must begin with sqlite:// or postgres://")),
        };
        Ok(Self { pools, statement_timeout: options.statement_timeout, months: Arc::default() })
    }

    /// Whether a URL can be opened, as far as the URL itself says. Touches nothing.
    ///
    /// # Errors
    /// `Config`, as of [`Db::open`].
    pub fn check_url(url: &str) -> Result<(), StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => sqlite_options(url).map(drop),
            Some("postgres" | "postgresql") => postgres_options(url).map(drop),
            _ => Err(config("database URL must begin with sqlite:// or postgres://")),
        }
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Brings the tables up to this version. Several instances may do so at once: one works, the
    /// others wait and find it done. Tables of a newer version are left alone.
    ///
    /// # Errors
    /// `Schema` when an applied migration is not the one this version knows; else as any call.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // On a thread of its own: the migrator's future cannot be sent between threads.
        let db = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || runtime.block_on(db.migrate_here()));
        work.await.map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "the migration was broken off"))?
    }

    async fn migrate_here(&self) -> Result<(), StoreError> {
        match &self.pools {
            Pools::Sqlite { write, .. } => {
                // SQLite has no advisory lock: one immediate transaction around all of it is one.
                let mut tx = begin_immediate(write).await?;
                migrator(Engine::Sqlite).run(&mut *tx).await?;
                tx.commit().await?;
            }
            Pools::Postgres(pool) => {
                // Detached: closing the connection frees its advisory lock whatever happened.
                let mut connection = pool.acquire().await?.detach();
                migrator(Engine::Postgres).run(&mut connection).await?;
            }
        }
        Ok(())
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reader().await?.execute(Statement::new("SELECT 1")).await.map(drop)
    }

    /// Closes the pools, waiting for calls that are running.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    /// Asks the engine whether it understands a SQL text.
    #[doc(hidden)]
    pub async fn prepare(&self, text: &str) -> Result<(), StoreError> {
        self.writer().await?.prepare(text.to_owned()).await
    }

    /// A connection that only reads.
    pub(crate) async fn reader(&self) -> Result<Session, StoreError> {
        let connection = match &self.pools {
            Pools::Sqlite { read, .. } => Connection::Sqlite(read.acquire().await?),
            Pools::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
        };
        Ok(Session::new(connection, self.statement_timeout))
    }

    /// A connection that may write.
    pub(crate) async fn writer(&self) -> Result<Session, StoreError> {
        let connection = match &self.pools {
            Pools::Sqlite { write, .. } => Connection::Sqlite(write.acquire().await?),
            Pools::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
        };
        Ok(Session::new(connection, self.statement_timeout))
    }

    /// A transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        Tx::begin(self.writer().await?).await
    }
}

/// The pools know the password; what is printed does not.
impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

/// The first connection to a new file switches it to write-ahead logging, for which SQLite does not
/// wait as it does for other locks: an instance that is started at the same moment is told at once
/// that the file is locked, and tries again.
async fn begin_immediate(pool: &SqlitePool) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 1..TRIES {
        match pool.begin_with("BEGIN IMMEDIATE").await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("5") => {
                tokio::time::sleep(PAUSE).await;
            }
            other => return Ok(other?),
        }
    }
    Ok(pool.begin_with("BEGIN IMMEDIATE").await?)
}

fn migrator(engine: Engine) -> Migrator {
    let mut migrator = match engine {
        Engine::Sqlite => sqlx::migrate!("migrations/sqlite"),
        Engine::Postgres => sqlx::migrate!("migrations/postgres"),
    };
    // A rolled-back binary meets a newer schema: migrations only ever add, so it can work with it.
    migrator.set_ignore_missing(true);
    migrator
}

fn config(message: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Config, message)
}

fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    PgConnectOptions::from_str(url)
        .map_err(|_| config("database URL is not valid: expected postgres://user:password@host:port/name"))
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let connect = SqliteConnectOptions::from_str(url)
        .map_err(|_| config("database URL is not valid: expected sqlite://path/to/file.db"))?;
    if url.contains(":memory:") || url.contains("mode=memory") || connect.get_filename().as_os_str().is_empty() {
        return Err(config("database URL must name a file: sqlite://path/to/file.db"));
    }
    Ok(connect)
}

fn postgres_pool(url: &str, options: &Options) -> Result<PgPool, StoreError> {
    let connect = postgres_options(url)?.application_name("weir").disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(options.connections.max(1))
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(connect))
}

fn sqlite_pools(url: &str, options: &Options) -> Result<Pools, StoreError> {
    let connect = sqlite_options(url)?;
    let path = connect.get_filename().to_owned();
    make_private_file(&path)?;
    let connect = connect.busy_timeout(options.acquire_timeout).foreign_keys(true).disable_statement_logging();
    let pool = |connections: u32| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    // The writer's cache holds the pages that inserts keep coming back to (KiB), and the log is
    // copied back every 16 MiB instead of every 4.
    let write = connect
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("cache_size", "-8192")
        .pragma("wal_autocheckpoint", "4096");
    let read = connect.pragma("query_only", "ON");
    Ok(Pools::Sqlite {
        read: pool(options.connections.max(1)).connect_lazy_with(read),
        write: pool(1).connect_lazy_with(write),
    })
}

/// Makes the file, and the folder it is in, for this user's eyes only. SQLite gives the files it
/// puts beside it the same rights. What exists already is left as it is.
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    let unwritable = |path: PathBuf, error: &std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Full,
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, format!("cannot make the database at {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private_folder(folder).map_err(|e| unwritable(folder.to_owned(), &e))?;
    }
    let mut open = std::fs::OpenOptions::new();
    open.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    open.open(path).map(drop).map_err(|e| unwritable(path.to_owned(), &e))
}

fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(folder)
}
