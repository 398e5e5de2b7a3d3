//! What every task needs from the machine: commands, children that end with us, free ports, small HTTP calls.

use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// What a task answers: a failure is a sentence for the person at the terminal.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// How long a started service may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// How much of a log goes into a failure.
const LAST_LINES: usize = 15;

/// The repository's root, wherever `cargo xtask` was called from.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    manifest.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The directory of the debug build that this task was built into: its siblings are the project's binaries.
pub(crate) fn bin_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let dir = exe.parent().ok_or("the task's own binary has no directory")?;
    Ok(dir.to_path_buf())
}

/// A place for what tasks fetch and log, `target/<name>`; made when it is absent.
pub(crate) fn work_dir(name: &str) -> Result<PathBuf> {
    let bin = bin_dir()?;
    let dir = bin.parent().unwrap_or(&bin).join(name);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Runs a command with the terminal's output; an exit code other than 0 is a failure that names the command.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", show(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{} failed ({status})", show(command)).into())
}

/// Runs a command and returns its standard output; its errors are part of the failure.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", show(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed ({}): {}", show(command), output.status, errors.trim()).into())
}

/// Whether a command starts and ends with 0; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Program and arguments only: the environment may hold keys.
fn show(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Whether this process runs as root, who must not run PostgreSQL and needs no sudo.
pub(crate) fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A child process that ends when this value does.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts the command with its output in `log`.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = std::fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name, child, log: log.to_path_buf() })
    }

    /// Waits until `url` answers 2xx; fails at once if the process ended, and after a minute otherwise.
    pub(crate) fn wait_for(&mut self, url: &str) -> Result {
        self.wait_until(url, || http("GET", url, None, None).is_ok_and(|answer| answer.ok()))
    }

    /// Waits until `ready` says so, with the limits of [`Service::wait_for`].
    pub(crate) fn wait_until(&mut self, what: &str, ready: impl Fn() -> bool) -> Result {
        for _ in 0..START_TIMEOUT.as_millis() / POLL.as_millis() {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.not_ready(&format!("ended ({status}) before it answered at {what}")));
            }
            thread::sleep(POLL);
        }
        Err(self.not_ready(&format!("did not answer at {what} within {START_TIMEOUT:?}")))
    }

    /// With the end of what it said: a log in a directory that is about to go helps nobody.
    fn not_ready(&self, what: &str) -> Box<dyn Error> {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("{} {what}; its last words:\n{}", self.name, last.join("\n")).into()
    }

    /// Asks the process to end (SIGTERM) and waits; a process that stays is killed.
    fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        succeeds(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL);
        }
        // Failing here means that it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An HTTP answer: status and body.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body as text.
    pub(crate) body: String,
}

impl Answer {
    /// Whether the status is 2xx.
    pub(crate) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// One HTTP call through curl, which `setup` installs: `key` goes out as a bearer token, `json` as the body.
pub(crate) fn http(method: &str, url: &str, key: Option<&str>, json: Option<&str>) -> Result<Answer> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "10", "--write-out", "\n%{http_code}", "--request", method]);
    if let Some(key) = key {
        command.args(["--header", &format!("authorization: Bearer {key}")]);
    }
    if let Some(json) = json {
        command.args(["--header", "content-type: application/json", "--data", json]);
    }
    // Not through `capture`: its failure would print the arguments, and with them the key.
    let output = command.arg(url).output().map_err(|error| format!("cannot start curl: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, status) = text.rsplit_once('\n').ok_or("curl wrote no status")?;
    Ok(Answer { status: status.parse()?, body: body.to_owned() })
}

/// A fresh directory for one run, removed with this value.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Makes `<system's temporary directory>/weir-<name>-<random>`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let pattern = std::env::temp_dir().join(format!("weir-{name}-XXXXXX"));
        let made = capture(Command::new("mktemp").arg("-d").arg(pattern))?;
        Ok(Self(PathBuf::from(made.trim())))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Left-overs in the temporary directory harm nobody.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_error() {
        let error = capture(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("broken"), "{text}");
    }

    #[test]
    fn a_command_that_does_not_exist_is_an_error_not_a_panic() {
        let error = run(&mut Command::new("weir-no-such-command")).unwrap_err();
        assert!(error.to_string().contains("cannot start weir-no-such-command"));
    }

    #[test]
    fn a_temporary_directory_goes_with_its_value() {
        let dir = TempDir::new("test").unwrap();
        let path = dir.path().to_path_buf();
        assert!(path.is_dir());
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_service_that_ends_early_is_reported_as_such() {
        let dir = TempDir::new("service").unwrap();
        let log = dir.path().join("log");
        let mut service = Service::start("a short life", Command::new("echo").arg("no port"), &log).unwrap();
        let error = service.wait_until("nowhere", || false).unwrap_err();
        assert!(error.to_string().contains("a short life ended") && error.to_string().ends_with("no port"), "{error}");
    }

    #[test]
    fn a_service_ends_with_its_value() {
        let dir = TempDir::new("service").unwrap();
        let service = Service::start("a sleeper", Command::new("sleep").arg("600"), &dir.path().join("log")).unwrap();
        let id = service.child.id().to_string();
        drop(service);
        assert!(!succeeds(Command::new("kill").args(["-0", &id])));
    }
}
