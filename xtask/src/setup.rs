//! `cargo xtask setup`: installs what the tests need, on a Debian machine that has Rust and nothing else.
//!
//! Quick when everything is there: each part is looked for before anything is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Result, capture, is_root, root, run, succeeds};

/// The oldest Node that the official SDK's tests run on.
const NODE_MAJOR: u32 = 18;

/// System packages, then the Python environment, then the Node modules.
pub(crate) fn setup() -> Result {
    install_packages(&missing_packages())?;
    python_environment()?;
    node_modules("node", "the Node clients")?;
    node_modules("agents", "the coding agents")
}

/// The interpreter with the pinned client libraries, `tests/clients/.venv`.
pub(crate) fn python() -> PathBuf {
    clients().join(".venv/bin/python")
}

/// Where the real SDKs' tests live.
pub(crate) fn clients() -> PathBuf {
    root().join("tests/clients")
}

/// The newest PostgreSQL's programs (`initdb`, `postgres`, ...), which Debian keeps off the path.
pub(crate) fn postgres_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(|path| number(path))
        .map(|path| path.join("bin"))
}

/// Debian packages for what is not on the machine.
fn missing_packages() -> Vec<&'static str> {
    let has = |program: &str| succeeds(Command::new(program).arg("--version"));
    let needs = [
        (has("cc") && has("make"), &["build-essential"] as &[_]),
        (has("curl"), &["curl", "ca-certificates"]),
        (has("runuser"), &["util-linux"]),
        (has_venv(), &["python3", "python3-venv"]),
        (has_node() && has("npm"), &["nodejs", "npm"]),
        (postgres_bin().is_some(), &["postgresql"]),
        (has("redis-server"), &["redis-server"]),
    ];
    let missing = needs.iter().filter(|(present, _)| !present);
    missing.flat_map(|(_, packages)| packages.iter().copied()).collect()
}

fn has_venv() -> bool {
    succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

fn has_node() -> bool {
    capture(Command::new("node").arg("--version"))
        .ok()
        .and_then(|version| node_major(&version))
        .is_some_and(|major| major >= NODE_MAJOR)
}

/// `v20.1.0` is 20.
fn node_major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn install_packages(packages: &[&str]) -> Result {
    if packages.is_empty() {
        return Ok(());
    }
    println!("installing {}", packages.join(" "));
    let by_hand = format!("as root: apt-get install {}", packages.join(" "));
    if !succeeds(Command::new("apt-get").arg("--version")) {
        return Err(format!("missing on this machine, which has no apt-get: {}", packages.join(" ")).into());
    }
    if !is_root() && !succeeds(Command::new("sudo").args(["-n", "true"])) {
        return Err(format!("packages are missing and neither root nor sudo is at hand; {by_hand}").into());
    }
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
        .map_err(|error| format!("{error}; {by_hand}").into())
}

fn apt_get() -> Command {
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
    command
}

fn python_environment() -> Result {
    let requirements = clients().join("python/requirements.txt");
    let environment = clients().join(".venv");
    refresh(&requirements, &environment, || {
        println!("installing the Python clients");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        run(Command::new(python())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements))
    })
}

fn node_modules(project: &str, what: &str) -> Result {
    let directory = clients().join(project);
    refresh(&directory.join("package-lock.json"), &directory.join("node_modules"), || {
        println!("installing {what}");
        run(Command::new("npm").args(["ci", "--silent"]).current_dir(&directory))
    })
}

/// Installs unless `target` was installed from this very `lock`; the stamp is written last, so a broken installation is
/// done again.
fn refresh(lock: &Path, target: &Path, install: impl FnOnce() -> Result) -> Result {
    let wanted = std::fs::read_to_string(lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let stamp = target.join(".installed-from");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    Ok(std::fs::write(stamp, wanted)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::TempDir;

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(node_major("v18.20.4\n"), Some(18));
        assert_eq!(node_major("v22.0.0"), Some(22));
        assert_eq!(node_major("20.1.0"), None);
        assert_eq!(node_major(""), None);
    }

    #[test]
    fn an_installation_is_redone_only_when_its_lock_changed_or_it_failed() {
        let dir = TempDir::new("refresh").unwrap();
        let (lock, target) = (dir.path().join("lock"), dir.path().join("target"));
        std::fs::create_dir(&target).unwrap();
        std::fs::write(&lock, "one").unwrap();
        let mut runs = 0;
        refresh(&lock, &target, || Err("no network".into())).unwrap_err();
        for _ in 0..2 {
            refresh(&lock, &target, || {
                runs += 1;
                Ok(())
            })
            .unwrap();
        }
        std::fs::write(&lock, "two").unwrap();
        refresh(&lock, &target, || {
            runs += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(runs, 2);
    }

    #[test]
    fn a_lock_that_is_absent_is_named() {
        let error = refresh(Path::new("no/such.lock"), Path::new("."), || Ok(())).unwrap_err();
        assert!(error.to_string().starts_with("no/such.lock: "));
    }
}
