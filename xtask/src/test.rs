//! `cargo xtask test`: everything that has to hold, stage by stage; continuous integration runs exactly this.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::clients::clients;
use crate::gateway;
use crate::sdk_suite::sdk_suite;
use crate::setup::setup;
use crate::shell::{Result, root, run};

type Stage = (&'static str, fn() -> Result);

/// Cheap and telling stages first. Each runs even when an earlier one failed: one run shows everything there is to mend.
const STAGES: &[Stage] = &[
    ("setup", setup),
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("lints", || cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("tests", tests),
    ("drift of the catalog", || cargo(&["xtask", "catalog", "--check"])),
    ("binary", gateway::build),
    ("proofs, short", || crate::prove::prove(&["--short".to_owned()])),
    ("clients", clients),
    ("the SDK's own suite", || sdk_suite(false)),
];

/// Runs every stage and ends with what each took; fails with the list of those that failed.
pub(crate) fn test() -> Result {
    let reports: Vec<Report> = STAGES.iter().map(|stage| report(*stage)).collect();
    println!();
    for report in &reports {
        println!("{report}");
    }
    let failed: Vec<&str> =
        reports.iter().filter(|report| report.failure.is_some()).map(|report| report.stage).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

/// Where recorded exchanges of real providers lie, for who has them: beside the checkout.
const RECORDINGS: &str = "../shared/corpus";
/// The variable that names them to the tests that replay them.
const RECORDINGS_VARIABLE: &str = "WEIR_RECORDINGS";

/// The tests, with the recorded exchanges if they are there.
fn tests() -> Result {
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "--workspace"]).current_dir(root());
    let recordings = root().join(RECORDINGS);
    if recordings.is_dir() && std::env::var_os(RECORDINGS_VARIABLE).is_none() {
        command.env(RECORDINGS_VARIABLE, recordings);
    }
    run(&mut command)
}

fn cargo(arguments: &[&str]) -> Result {
    run(Command::new("cargo").args(arguments).current_dir(root()))
}

#[derive(Debug)]
struct Report {
    stage: &'static str,
    took: Duration,
    failure: Option<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stage, took, failure } = self;
        let seconds = took.as_secs_f64();
        match failure {
            None => write!(f, "ok      {seconds:7.1} s  {stage}"),
            Some(why) => write!(f, "FAILED  {seconds:7.1} s  {stage}: {why}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a task measures real time; no test has to move it")]
fn report((stage, body): Stage) -> Report {
    println!("\n==== {stage}");
    let start = Instant::now();
    let failure = body().err().map(|error| error.to_string());
    let report = Report { stage, took: start.elapsed(), failure };
    println!("{report}");
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_reports_its_time_and_its_failure() {
        let good = report(("good", || Ok(())));
        assert!(good.to_string().starts_with("ok ") && good.to_string().ends_with("good"));
        let bad = report(("bad", || Err("no".into())));
        assert!(bad.to_string().starts_with("FAILED") && bad.to_string().ends_with("bad: no"));
    }
}
