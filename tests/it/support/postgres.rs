//! A throw-away PostgreSQL server: its own cluster in a temporary folder, on loopback, one per test
//! process, gone with it.

use std::cell::RefCell;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The URL of a fresh, empty database. It goes some time after the test's thread: hundreds of them would take
/// gigabytes.
///
/// # Panics
/// When no PostgreSQL server is installed, or it does not start.
pub(crate) async fn fresh_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Starting takes a second and blocks, which is no matter for a test.
    let server = SERVER.get_or_init(Server::start);
    let name = format!("weir_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = PgConnection::connect(&server.url("postgres")).await.expect("the test server answers");
    let left = std::mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    let drops = left.iter().map(|left| format!("DROP DATABASE {left} WITH (FORCE)"));
    for statement in drops.chain([format!("CREATE DATABASE {name}")]) {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.expect("databases come and go");
    }
    MINE.with_borrow_mut(|mine| mine.0.push(name.clone()));
    server.url(&name)
}

/// Databases of tests that have ended.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// Databases of this thread's test.
    static MINE: RefCell<Mine> = const { RefCell::new(Mine(Vec::new())) };
}

struct Mine(Vec<String>);

impl Drop for Mine {
    fn drop(&mut self) {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.0);
    }
}

static SERVER: OnceLock<Server> = OnceLock::new();

struct Server {
    port: u16,
    /// The shell that stops the server and removes its folder once this end of its pipe closes,
    /// which happens however this process ends.
    _keeper: Child,
}

impl Server {
    fn start() -> Self {
        let bin = find_bin();
        // Another process may take the port between its choice and its use: choose again.
        (0..5).find_map(|_| Self::try_start(&bin)).expect("PostgreSQL starts on some free port")
    }

    fn try_start(bin: &Path) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("weir-test-pg-").tempdir().expect("a temporary folder").keep();
        let port = free_port();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "weir-test-pg"])
            .args([bin, &folder])
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a shell starts");
        let mut said = String::new();
        let out = keeper.stdout.take().expect("stdout is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said).expect("the shell speaks");
        (said.trim() == "ready").then_some(Self { port, _keeper: keeper })
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://weir:weir@127.0.0.1:{}/{database}", self.port)
    }
}

/// Makes a cluster, starts it, says so, waits for the end of its input, and clears away. The server
/// refuses to run as root, so root hands it to the user `postgres`.
const KEEPER: &str = r#"
bin=$1; folder=$2; port=$3
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
trap '' INT TERM HUP
[ "$(id -u)" = 0 ] && chown postgres "$folder"
cd "$folder" || exit 1
as "$bin/initdb" -D "$folder/data" -U weir -A trust -E UTF8 --locale=C --no-sync >"$folder.log" 2>&1 &&
as "$bin/pg_ctl" -D "$folder/data" -w -t 60 -l "$folder/server.log" start -o "-p $port -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories= -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 \
  -c min_wal_size=32MB -c max_wal_size=128MB" \
  >>"$folder.log" 2>&1 && echo ready && exec 1>&- && cat >/dev/null
as "$bin/pg_ctl" -D "$folder/data" -w -m immediate stop >/dev/null 2>&1
cd /
rm -rf "$folder" "$folder.log"
"#;

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The folder of `initdb` and `pg_ctl`: on the path, or where Debian keeps them (newest first).
fn find_bin() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/local/bin".into());
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders
        .into_iter()
        .find(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file()))
        .expect("PostgreSQL (initdb, pg_ctl, postgres) is not installed: run `cargo xtask setup`")
}
