//! `weir check`: whether a configuration is right, and everything that is wrong with it.

use std::io::{self, Write};
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::config::{BAD_CONFIG, FAILED, FINE};
use crate::config::{Config, ConfigSource, Fault, Known};
use crate::http::server::tls::Certificates;
use crate::snapshot::Snapshot;
use crate::store::Db;

/// Checks a configuration and tells everything that is wrong with it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// The file; else WEIR_CONFIG, else ./weir.yaml if it exists.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Runs `weir check`. Answers the exit code: 0 if the configuration is right, 2 if it is not, 1 if
/// nothing could be written.
pub fn run(
    args: &CheckArgs,
    env: &dyn Fn(&str) -> Option<String>,
    known: &Known<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let source = ConfigSource::find(args.config.clone(), env);
    let loaded = Config::load(&source, env, known).and_then(|config| resolved(&source, config, env));
    let code = if loaded.is_ok() { FINE } else { BAD_CONFIG };
    let written = if args.json {
        let (warnings, faults) = match loaded {
            Ok(config) => (config.chaos.warnings(), Vec::new()),
            Err(faults) => (Vec::new(), faults),
        };
        writeln!(out, "{:#}", json!({ "ok": faults.is_empty(), "faults": faults, "warnings": warnings }))
    } else {
        match loaded {
            Ok(config) => {
                let warned = config.chaos.warnings().iter().try_for_each(|told| writeln!(err, "warning: {told}"));
                warned.and_then(|()| writeln!(out, "{}", summary(&source, &config)))
            }
            Err(faults) => print_faults(&faults, err),
        }
    };
    if written.is_ok() { code } else { FAILED }
}

/// What the gateway would make of it: a provider without its key, a placeholder without its value.
fn resolved(source: &ConfigSource, config: Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Fault>> {
    let told = Snapshot::build(&config, env, 0).map(drop);
    let database = || Db::check_url(config.database.url.expose_secret());
    let told = told.and_then(|()| database().map_err(|error| format!("database.url: {error}")));
    let told = told.and_then(|()| config.server.tls.iter().try_for_each(|tls| Certificates::load(tls).map(drop)));
    told.map(|()| config).map_err(|why| {
        let (key, problem) = why.split_once(": ").unwrap_or(("", why.as_str()));
        let (key, problem) = (key.to_owned(), problem.to_owned());
        vec![Fault { file: name(source), line: 0, column: 0, key, problem, suggestion: None }]
    })
}

/// Writes one line a fault.
pub(super) fn print_faults(faults: &[Fault], err: &mut dyn Write) -> io::Result<()> {
    faults.iter().try_for_each(|fault| writeln!(err, "{fault}"))
}

fn summary(source: &ConfigSource, config: &Config) -> String {
    let name = name(source);
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{name}: fine ({}, {}, {}, {})",
        count(config.providers.len(), "provider"),
        count(config.models.len(), "model"),
        count(config.keys.len(), "key"),
        count(config.prices.len(), "price"),
    )
}

fn name(source: &ConfigSource) -> String {
    match source {
        ConfigSource::File(path) | ConfigSource::Text { name: path, .. } => path.display().to_string(),
        ConfigSource::Defaults => "no file, the defaults".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a file with that text, and sees code, standard output and standard error, the file's
    /// folder left out.
    fn check(text: &str, expected: (u8, &str, &str)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.yaml");
        std::fs::write(&path, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = CheckArgs { config: Some(path), json: false };
        let code = run(&args, &|_| None, &Known::default(), &mut out, &mut err);
        let root = format!("{}/", folder.path().display());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&root, "");
        assert_eq!((code, text(out).as_str(), text(err).as_str()), expected);
    }

    #[test]
    fn a_right_file_is_summed_up() {
        check("models: {a: demo/a, b: demo/b}", (0, "weir.yaml: fine (0 providers, 2 models, 0 keys, 0 prices)\n", ""));
    }

    #[test]
    fn every_fault_is_a_line() {
        check(
            "servr: 1\nauth: {requird: 1}\n",
            (
                2,
                "",
                "weir.yaml:1:1: servr: unknown key, did you mean `server`?\n\
             weir.yaml:2:8: auth.requird: unknown key, did you mean `required`?\n",
            ),
        );
    }

    #[test]
    fn chaos_is_warned_of() {
        let text = "chaos: { enabled: true, faults: [{ provider: demo, fault: 'status=503,rate=0.1' }] }";
        let fine = "weir.yaml: fine (0 providers, 0 models, 0 keys, 0 prices)\n";
        let on = "warning: chaos: calls of provider demo go wrong on purpose: status=503,rate=0.1; never leave this on in production\n";
        check(text, (0, fine, on));
        check(&text.replace("enabled: true, ", ""), (0, fine, ""));
        let empty = "warning: chaos: it is enabled and has no faults, so that nothing goes wrong\n";
        check("chaos: { enabled: true }", (0, fine, empty));
    }

    #[test]
    fn the_result_as_json() {
        let json = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("weir.yaml");
            std::fs::write(&path, text).unwrap();
            let mut out = Vec::new();
            let args = CheckArgs { config: Some(path.clone()), json: true };
            let code = run(&args, &|_| None, &Known::default(), &mut out, &mut Vec::new());
            (path, code, serde_json::from_slice::<serde_json::Value>(&out).unwrap())
        };
        let (_, code, found) = json("providers: {demo: {}}");
        assert_eq!((code, found), (0, json!({ "ok": true, "faults": [], "warnings": [] })));
        let (path, code, found) = json("servr: 1\n");
        let fault = json!({
            "file": path, "line": 1, "column": 1, "key": "servr", "problem": "unknown key", "suggestion": "server",
        });
        assert_eq!((code, found), (2, json!({ "ok": false, "faults": [fault], "warnings": [] })));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_fault() {
        let mut err = Vec::new();
        let args = CheckArgs { config: Some("/nowhere/weir.yaml".into()), json: false };
        assert_eq!(run(&args, &|_| None, &Known::default(), &mut Vec::new(), &mut err), 2);
        assert!(String::from_utf8(err).unwrap().starts_with("/nowhere/weir.yaml: cannot read the file"));
    }
}
