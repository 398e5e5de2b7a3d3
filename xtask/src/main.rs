//! The project's own tasks, `cargo xtask <task>`; continuous integration calls the same ones.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person at the terminal")]

use std::process::ExitCode;

mod catalog;
mod clients;
mod gateway;
mod postgres;
mod prove;
mod sdk_suite;
mod setup;
mod shell;
mod test;

const USAGE: &str = "\
usage: cargo xtask <task>
  setup                  install what the tests need
  test                   everything: format, lints, tests, drift, clients, the SDK's own suite
  catalog [--check]      generate the catalogue's data, or check that it has not drifted
  clients                the official SDKs against a started gateway, on SQLite and PostgreSQL
  prove [--help]         load the real binary, break it, and hold its ledger against the truth
  sdk-suite [--direct]   the SDK's own tests on a mock and through Weir; --direct: on the mock alone";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["setup"] => setup::setup(),
        ["test"] => test::test(),
        ["clients"] => clients::clients(),
        ["prove", ..] => prove::prove(&arguments[1..]),
        ["catalog", ..] => catalog::run(&arguments[1..]).map_err(Into::into),
        ["sdk-suite"] => sdk_suite::sdk_suite(false),
        ["sdk-suite", "--direct"] => sdk_suite::sdk_suite(true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
