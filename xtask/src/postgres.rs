//! A PostgreSQL cluster for one run: fresh, on a loopback port, gone with its value.

use std::path::PathBuf;
use std::process::Command;

use crate::setup::postgres_bin;
use crate::shell::{Result, Service, TempDir, capture, free_port, is_root, run, succeeds};

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
    log: PathBuf,
    // Fields drop in order: the service ends before its log's directory goes.
    service: Option<Service>,
    _logs: TempDir,
}

impl Postgres {
    /// Makes a cluster in the temporary directory and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        let bin = postgres_bin().ok_or("PostgreSQL is not installed: run `cargo xtask setup`")?;
        let logs = TempDir::new("postgres-log")?;
        let data = capture(as_postgres("mktemp").args(["-d", "-t", "weir-postgres-XXXXXX"]))?;
        let log = logs.path().join("postgres.log");
        let mut cluster =
            Self { bin, data: PathBuf::from(data.trim()), port: free_port()?, log, service: None, _logs: logs };
        cluster.initialise()?;
        cluster.serve()?;
        Ok(cluster)
    }

    /// The URL that `database.url` takes.
    pub(crate) fn url(&self) -> String {
        format!("postgres://weir@127.0.0.1:{}/postgres", self.port)
    }

    /// Makes an empty database; its URL.
    pub(crate) fn create_database(&self, name: &str) -> Result<String> {
        self.query(&format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://weir@127.0.0.1:{}/{name}", self.port))
    }

    /// Runs a statement as the cluster's owner; its rows as text.
    pub(crate) fn query(&self, statement: &str) -> Result<String> {
        let mut psql = Command::new(self.bin.join("psql"));
        capture(psql.args(["-qtAX", "-d", &self.url(), "-c", statement]))
    }

    /// Stops the server at once, as a crash would; the data stays.
    pub(crate) fn halt(&mut self) {
        let mut stop = self.program("pg_ctl");
        succeeds(stop.args(["stop", "-m", "immediate", "-D"]).arg(&self.data));
        self.service = None;
    }

    /// Starts a server that was stopped.
    pub(crate) fn resume(&mut self) -> Result {
        self.serve()
    }

    fn program(&self, name: &str) -> Command {
        as_postgres(&self.bin.join(name).to_string_lossy())
    }

    fn initialise(&self) -> Result {
        let mut initdb = self.program("initdb");
        initdb.args(["--username=weir", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        capture(initdb.arg(&self.data)).map(drop)
    }

    /// Durability is off: nothing of this cluster outlives the run.
    fn serve(&mut self) -> Result {
        let port = self.port.to_string();
        let mut command = self.program("postgres");
        command.arg("-D").arg(&self.data).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off"]);
        let mut service = Service::start("PostgreSQL", &mut command, &self.log)?;
        let ready = || {
            let mut probe = Command::new(self.bin.join("pg_isready"));
            succeeds(probe.args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", "weir"]))
        };
        service.wait_until(&self.url(), ready)?;
        self.service = Some(service);
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate: connections that are still open do not hold it up.
        self.halt();
        if let Err(error) = run(Command::new("rm").arg("-rf").arg(&self.data)) {
            eprintln!("{error}");
        }
    }
}

/// PostgreSQL refuses to run as root, so root lends it the account that its package made.
fn as_postgres(program: &str) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", program]);
        command
    } else {
        Command::new(program)
    };
    // The caller's directory may be closed to that account.
    command.current_dir(std::env::temp_dir());
    command
}
