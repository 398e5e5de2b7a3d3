//! A gateway as its own process, which can be killed and started again on the same data.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ledger::{ADMIN_KEY, Ledger};
use super::wire::call;
use crate::shell::{Result, free_port, succeeds};

/// How long a gateway may take until it is ready, and to settle what it has.
const READY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
const LAST_LINES: usize = 15;

/// Where a gateway keeps its data.
#[derive(Clone, Debug)]
pub(super) enum Disk {
    /// A directory.
    Plain,
    /// A file system of its own and of this size, in memory (`tmpfs`'s `size=`).
    Small(&'static str),
}

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// The program.
    pub(super) binary: PathBuf,
    /// Its configuration.
    pub(super) config: String,
    /// Where its data directory is made.
    pub(super) directory: PathBuf,
    /// What becomes of its output.
    pub(super) log: PathBuf,
    /// Where the data lies.
    pub(super) disk: Disk,
}

/// A gateway; it is killed with its value.
#[derive(Debug)]
pub(super) struct Weir {
    /// Where it listens, `http://127.0.0.1:<port>`; the same after a restart.
    pub(super) url: String,
    spec: Spec,
    listen: String,
    child: Option<Child>,
}

impl Weir {
    /// Starts a gateway and waits until it is ready.
    pub(super) async fn start(spec: Spec) -> Result<Self> {
        std::fs::create_dir_all(spec.directory.join("data"))?;
        std::fs::write(spec.directory.join("weir.yaml"), &spec.config)?;
        File::create(&spec.log)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut weir = Self { url: format!("http://{listen}"), spec, listen, child: None };
        weir.resume().await?;
        Ok(weir)
    }

    /// Starts it (again) on the data that is there.
    pub(super) async fn resume(&mut self) -> Result {
        let mut command = self.command();
        let log = OpenOptions::new().append(true).open(&self.spec.log)?;
        let child = command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log).spawn();
        self.child = Some(child.map_err(|error| format!("cannot start {}: {error}", self.spec.binary.display()))?);
        let until = Instant::now() + READY;
        while Instant::now() < until {
            if call("GET", &self.url, "/health/ready", None, None).await.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(self.words(&format!("ended ({status}) before it was ready")).into());
            }
            sleep(POLL).await;
        }
        Err(self.words("was not ready within a minute").into())
    }

    /// Starts another on the same data and the same sockets, which it takes over; answers when the old one has ended.
    pub(super) async fn replace(&mut self) -> Result {
        let mut old = self.child.take().ok_or("there is no gateway to replace")?;
        let outcome = self.resume().await;
        let until = Instant::now() + READY;
        let ended = loop {
            match old.try_wait()? {
                Some(status) => break status,
                // While both run, either one says that it is ready.
                None if outcome.is_err() || self.has_ended() || Instant::now() >= until => {
                    old.kill().ok();
                    old.wait().ok();
                    outcome?;
                    return Err(self.words("that was replaced did not end").into());
                }
                None => sleep(POLL).await,
            }
        };
        if ended.success() { Ok(()) } else { Err(self.words(&format!("that was replaced ended with {ended}")).into()) }
    }

    /// Writes its configuration anew; it is read when the gateway is told to, or sees it.
    pub(super) fn write_config(&self, config: &str) -> Result {
        let (aside, path) = (self.spec.directory.join("weir.yaml.new"), self.spec.directory.join("weir.yaml"));
        std::fs::write(&aside, config)?;
        Ok(std::fs::rename(aside, path)?)
    }

    /// The configuration that it was started with.
    pub(super) fn config(&self) -> &str {
        &self.spec.config
    }

    fn command(&self) -> Command {
        let Spec { binary, directory, disk, .. } = &self.spec;
        let data = self.data();
        let mut command = match disk {
            Disk::Plain => Command::new(binary),
            Disk::Small(size) => {
                let mut command = Command::new("unshare");
                let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
                command.args(["-Urm", "sh", "-c", &mount]).arg(&data).arg(binary);
                command
            }
        };
        command.env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.arg("serve").arg("--config").arg(directory.join("weir.yaml")).args(["--listen", &self.listen]);
        command.current_dir(directory).env("WEIR_DATA_DIR", data);
        command.env("WEIR_ADMIN_KEY", ADMIN_KEY).env("RUST_LOG", "weir=info");
        command
    }

    /// Its data directory, as it is named to it.
    pub(super) fn data(&self) -> PathBuf {
        self.spec.directory.join("data")
    }

    /// Its data directory as this process reaches it, on a disk of its own too.
    pub(super) fn data_from_here(&self) -> PathBuf {
        let data = self.data();
        match (&self.spec.disk, &self.child) {
            (Disk::Small(_), Some(child)) => {
                let inside = data.strip_prefix("/").unwrap_or(&data);
                Path::new("/proc").join(child.id().to_string()).join("root").join(inside)
            }
            _ => data,
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn resident(&self) -> Result<u64> {
        let child = self.child.as_ref().ok_or("the gateway is not running")?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    /// `kill -9`, now.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Failing means that it is gone already.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Its admin plane.
    pub(super) fn ledger(&self) -> Ledger {
        Ledger { url: self.url.clone() }
    }

    /// Waits until it serves nothing and every row is in the database.
    pub(super) async fn settled(&self, most: Duration) -> Result {
        let until = Instant::now() + most;
        loop {
            let ledger = self.ledger();
            let open = ledger.metric("weir_in_flight").await? + ledger.metric("weir_usage_journal_pending").await?;
            if open == 0.0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(self.words(&format!("has {open} requests and rows under way after {most:?}")).into());
            }
            sleep(POLL).await;
        }
    }

    /// A failure with the end of what the gateway said.
    fn words(&self, what: &str) -> String {
        let said = std::fs::read_to_string(&self.spec.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("the gateway {what}; its last words ({}):\n{}", self.spec.log.display(), last.join("\n"))
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this machine lets a process have a small file system of its own.
pub(super) fn can_mount() -> bool {
    let mut probe = Command::new("unshare");
    succeeds(probe.args(["-Urm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]))
}
