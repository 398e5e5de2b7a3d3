//! `cargo xtask prove`: starts the real gateway, loads it, breaks it, and holds its ledger against what its upstream and
//! its clients saw. docs/proofs.md says what is proved, and how.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::postgres::Postgres;
use crate::shell::{Result, bin_dir, root, run, succeeds, work_dir};

mod aborts;
mod ask;
mod bench;
mod budget;
mod caps;
mod chance;
mod door;
mod exact;
mod kill;
mod ledger;
mod limits;
mod load;
mod oracle;
mod outage;
mod process;
mod reload;
mod sick;
mod tariff;
mod truth;
mod upstream;
mod wire;

const USAGE: &str = "\
usage: cargo xtask prove [SCENARIO..] [options]
scenarios, all of them by default:
  exact    a mixed load: the ledger is the truth, to a nano-dollar
  aborts   clients leave at random bytes: each has a row, and the upstream is left at once
  kill     kill -9 at random moments: nothing answered or called is lost, doubled or wrong
  budget   more work at once than a budget allows, on several processes: not a nano-dollar too much
  door     thousands of silent streams cost little, hundreds of slow clients disturb nobody
  outage   the database away, locked, cut off; the disk full: work stops, nothing is lost, work resumes
  reload   reloads, wrong ones among them, and restarts under load: no request fails, no stream is cut
  sick     one of three upstreams dead, silent, failing: those who ask notice nothing of it
options:
  --short                            what fits into a test run
  --database sqlite|postgres|both    default: both
  --seed N                           default: 1; it fixes the load, not the moments of the machine
  --release                          build and run the release binary
  --binary PATH                      run this binary";

type Outcome<'a> = Pin<Box<dyn Future<Output = Result> + 'a>>;
type Scenario = (&'static str, for<'a> fn(&'a Lab) -> Outcome<'a>);

const SCENARIOS: &[Scenario] = &[
    ("exact", |lab| Box::pin(exact::prove(lab))),
    ("aborts", |lab| Box::pin(aborts::prove(lab))),
    ("kill", |lab| Box::pin(kill::prove(lab))),
    ("budget", |lab| Box::pin(budget::prove(lab))),
    ("door", |lab| Box::pin(door::prove(lab))),
    ("limits", |lab| Box::pin(limits::prove(lab))),
    ("outage", |lab| Box::pin(outage::prove(lab))),
    ("reload", |lab| Box::pin(reload::prove(lab))),
    ("sick", |lab| Box::pin(sick::prove(lab))),
];

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file.
    Sqlite,
    /// A cluster that the run starts.
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// What all scenarios share.
#[derive(Debug)]
struct Lab {
    short: bool,
    seed: u64,
    databases: Vec<Database>,
    binary: PathBuf,
    logs: PathBuf,
    postgres: Mutex<Option<Postgres>>,
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    scenarios: Vec<String>,
    short: bool,
    seed: u64,
    databases: Vec<Database>,
    release: bool,
    binary: Option<PathBuf>,
}

/// Runs the scenarios; the first violation ends the run.
pub(crate) fn prove(arguments: &[String]) -> Result {
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let options = Options::read(arguments).map_err(|why| format!("{why}\n{USAGE}"))?;
    let binary = match &options.binary {
        Some(path) => path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?,
        None => build(options.release)?,
    };
    let lab = Lab {
        short: options.short,
        seed: options.seed,
        databases: options.databases,
        binary,
        logs: work_dir("prove")?,
        postgres: Mutex::new(None),
    };
    room_for_connections();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{} with seed {}", lab.binary.display(), lab.seed);
    for (name, scenario) in SCENARIOS {
        if options.scenarios.is_empty() || options.scenarios.iter().any(|asked| asked == name) {
            let start = Instant::now();
            println!("-- {name}");
            runtime.block_on(scenario(&lab)).map_err(|error| format!("{name}: {error}"))?;
            println!("   {name} holds ({:.1} s)", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

/// A thousand clients and as many calls of the upstream need more open files than some shells allow; where the limit
/// cannot be raised, the load says so by itself.
fn room_for_connections() {
    let own = std::process::id().to_string();
    succeeds(Command::new("prlimit").args(["--pid", &own, "--nofile=20000:"]));
}

/// Builds the gateway; the path of its binary.
fn build(release: bool) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--bin", "weir"]).current_dir(root());
    let debug = bin_dir()?;
    if !release {
        run(&mut cargo)?;
        return Ok(debug.join("weir"));
    }
    run(cargo.arg("--release"))?;
    let target = debug.parent().ok_or("the build has no directory")?;
    Ok(target.join("release/weir"))
}

impl Options {
    fn read(arguments: &[String]) -> std::result::Result<Self, String> {
        let mut options = Self {
            scenarios: Vec::new(),
            short: false,
            seed: 1,
            databases: vec![Database::Sqlite, Database::Postgres],
            release: false,
            binary: None,
        };
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word {
                "--short" => options.short = true,
                "--release" => options.release = true,
                "--seed" => options.seed = value()?.parse().map_err(|_| "--seed needs a number")?,
                "--binary" => options.binary = Some(value()?.into()),
                "--database" => options.databases = databases(value()?)?,
                name if SCENARIOS.iter().any(|(known, _)| *known == name) => options.scenarios.push(name.to_owned()),
                other => return Err(format!("unknown scenario or option {other:?}")),
            }
        }
        Ok(options)
    }
}

fn databases(name: &str) -> std::result::Result<Vec<Database>, String> {
    match name {
        "sqlite" => Ok(vec![Database::Sqlite]),
        "postgres" => Ok(vec![Database::Postgres]),
        "both" => Ok(vec![Database::Sqlite, Database::Postgres]),
        other => Err(format!("--database is sqlite, postgres or both, not {other:?}")),
    }
}

impl Lab {
    /// One number or the other, for the short form and the long one.
    fn size<T>(&self, short: T, long: T) -> T {
        if self.short { short } else { long }
    }

    /// The cluster of the run, started with its first use.
    fn postgres(&self) -> Result<MutexGuard<'_, Option<Postgres>>> {
        let mut postgres = self.postgres.lock().unwrap_or_else(PoisonError::into_inner);
        if postgres.is_none() {
            *postgres = Some(Postgres::start()?);
        }
        Ok(postgres)
    }

    /// The URL of an empty database.
    fn database_url(&self, database: Database, name: &str) -> Result<String> {
        match database {
            Database::Sqlite => Ok("sqlite://${WEIR_DATA_DIR}/weir.db".to_owned()),
            Database::Postgres => {
                let postgres = self.postgres()?;
                let postgres = postgres.as_ref().ok_or("the cluster is gone")?;
                postgres.create_database(&name.replace('-', "_"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> std::result::Result<Options, String> {
        Options::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options =
            read(&["kill", "--short", "exact", "--seed", "7", "--database", "sqlite", "--binary", "x"]).unwrap();
        assert_eq!(options.scenarios, ["kill", "exact"]);
        assert_eq!((options.short, options.seed, options.databases), (true, 7, vec![Database::Sqlite]));
        assert_eq!(options.binary, Some(PathBuf::from("x")));
        assert_eq!(read(&[]).unwrap().databases.len(), 2);
    }

    #[test]
    fn what_is_not_an_option_is_named() {
        for (words, named) in [
            (&["speed"][..], "\"speed\""),
            (&["--seed", "x"], "--seed"),
            (&["--seed"], "--seed needs a value"),
            (&["--database", "oracle"], "\"oracle\""),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
