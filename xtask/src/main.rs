//! The project's own tasks: `cargo xtask <task> [options]`.

mod catalog;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = args.split_first().map_or(("help", &[][..]), |(task, rest)| (task.as_str(), rest));
    let outcome = match task {
        "catalog" => catalog::run(rest),
        _ => Err(format!("unknown task {task:?}; the tasks are: catalog [--check]")),
    };
    outcome.map_or_else(report, |()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "a command-line tool speaks on stderr")]
fn report(problem: String) -> ExitCode {
    eprintln!("xtask: {problem}");
    ExitCode::FAILURE
}
