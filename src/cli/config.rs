//! `weir config`: the example, the schema, the reference, and what differs between two files.

use std::io::{self, Write};
use std::path::PathBuf;

use super::check::print_faults;
use crate::config::{Config, ConfigSource, EXAMPLE, Known, diff, reference, schema};

/// Exit code: all went well.
pub const FINE: u8 = 0;
/// Exit code: something failed.
pub const FAILED: u8 = 1;
/// Exit code: bad usage or configuration.
pub const BAD_CONFIG: u8 = 2;

/// Prints what is to be known about the configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    /// What to print.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `weir config` can print.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// A commented file with every key.
    Example,
    /// The JSON Schema of the file, for editors.
    Schema,
    /// The reference page of all keys, as Markdown.
    Reference,
    /// What changes from OLD to NEW: one line a value, secrets hidden.
    Diff {
        /// The configuration in force.
        old: PathBuf,
        /// The one to come.
        new: PathBuf,
        /// Print the changes as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs `weir config`. Answers the exit code: 0, or 2 if a file to compare is wrong, or 1 if
/// nothing could be written.
pub fn run(
    args: &ConfigArgs,
    env: &dyn Fn(&str) -> Option<String>,
    known: &Known<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let written = match &args.command {
        ConfigCommand::Example => out.write_all(EXAMPLE.as_bytes()).map(|()| FINE),
        ConfigCommand::Schema => writeln!(out, "{:#}", schema()).map(|()| FINE),
        ConfigCommand::Reference => out.write_all(reference().as_bytes()).map(|()| FINE),
        ConfigCommand::Diff { old, new, json } => {
            // The two files and nothing laid over them.
            let env = |name: &str| if name == "WEIR_ENV" { None } else { env(name) };
            let load = |path: &PathBuf| Config::load(&ConfigSource::File(path.clone()), &env, known);
            match (load(old), load(new)) {
                (Ok(old), Ok(new)) => print_changes(&old, &new, *json, out).map(|()| FINE),
                (old, new) => [old.err(), new.err()]
                    .into_iter()
                    .flatten()
                    .try_for_each(|faults| print_faults(&faults, err))
                    .map(|()| BAD_CONFIG),
            }
        }
    };
    written.unwrap_or(FAILED)
}

fn print_changes(old: &Config, new: &Config, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let changes = diff(old, new);
    if json {
        return writeln!(out, "{:#}", serde_json::json!(changes));
    }
    if changes.is_empty() {
        return writeln!(out, "no change");
    }
    changes.iter().try_for_each(|change| writeln!(out, "{change}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(command: ConfigCommand) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let known = Known { providers: &["openai"], ..Known::default() };
        let code = run(&ConfigArgs { command }, &|_| None, &known, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// Compares two files, and sees code, standard output and standard error.
    fn check(old: &str, new: &str, json: bool, expected: (u8, &str, &str)) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (old, new) = (write("old.yaml", old), write("new.yaml", new));
        let (code, out, err) = run_with(ConfigCommand::Diff { old, new, json });
        let err = err.replace(&format!("{}/", folder.path().display()), "");
        assert_eq!((code, out.as_str(), err.as_str()), expected);
    }

    #[test]
    fn example_schema_and_reference_are_printed() {
        assert_eq!(run_with(ConfigCommand::Example), (0, EXAMPLE.into(), String::new()));
        let (code, text, _) = run_with(ConfigCommand::Schema);
        assert_eq!((code, serde_json::from_str::<serde_json::Value>(&text).unwrap()), (0, schema()));
        assert_eq!(run_with(ConfigCommand::Reference), (0, reference(), String::new()));
    }

    #[test]
    fn changes_are_sorted_and_secrets_hidden() {
        check(
            "auth: {admin_key: a}\nproviders: {openai: {api_key: a, keys: [a, b], headers: {x: a}}}\n\
             keys: [{name: k, key: a}, {name: l, key: l, limits: {rpm: 5}}]\nmodels: {m: openai/x, n: demo/y}\n\
             database: {url: 'postgres://u:a@h/d'}\n",
            "auth: {admin_key: b}\nproviders: {openai: {api_key: b, keys: [a, c], headers: {x: b}, limits: {rpm: 7}}}\n\
             keys: [{name: l, key: l}, {name: k, key: b}]\nmodels: {n: demo/y, m: openai/z}\n\
             server: {drain_timeout: 1m}\ndatabase: {url: 'postgres://u:b@h/d'}\n",
            false,
            (
                0,
                "auth.admin_key: \"***\" -> \"***\" (changed)\n\
                 database.url: \"postgres://u:***@h/d\" -> \"postgres://u:***@h/d\" (changed)\n\
                 keys.k.key: \"***\" -> \"***\" (changed)\n\
                 keys.l.limits.rpm: 5 -> (unset)\n\
                 models.m.targets[0].model: \"x\" -> \"z\"\n\
                 providers.openai.api_key: \"***\" -> \"***\" (changed)\n\
                 providers.openai.headers.x: \"***\" -> \"***\" (changed)\n\
                 providers.openai.keys[1]: \"***\" -> \"***\" (changed)\n\
                 providers.openai.limits.rpm: (unset) -> 7\n\
                 server.drain_timeout: \"30s\" -> \"1m\"\n",
                "",
            ),
        );
    }

    #[test]
    fn a_default_that_is_written_out_is_no_change() {
        check(
            "{}",
            "server: {body_limit: 32MiB, listen: '127.0.0.1:8080'}\nmodels: {}\n",
            false,
            (0, "no change\n", ""),
        );
        check("{}", "logging: {level: info}", true, (0, "[]\n", ""));
    }

    #[test]
    fn changes_as_json() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.yaml"), folder.path().join("new.yaml"));
        std::fs::write(&old, "{}").unwrap();
        std::fs::write(&new, "database: {max_connections: 7}").unwrap();
        let (code, out, _) = run_with(ConfigCommand::Diff { old, new, json: true });
        let change = serde_json::json!({ "path": "database.max_connections", "old": "10", "new": "7" });
        assert_eq!(
            (code, serde_json::from_str::<serde_json::Value>(&out).unwrap()),
            (0, [change].into_iter().collect())
        );
    }

    #[test]
    fn the_faults_of_both_files_are_told() {
        check("a: 1", "b: 1", false, (2, "", "old.yaml:1:1: a: unknown key\nnew.yaml:1:1: b: unknown key\n"));
    }
}
