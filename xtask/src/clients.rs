//! `cargo xtask clients`: the official SDKs against a started gateway, once on each database.

use std::path::Path;
use std::process::Command;

use crate::gateway::{self, Gateway};
use crate::postgres::Postgres;
use crate::setup::{clients as directory, python};
use crate::shell::{Result, Service, bin_dir, free_port, root, run, work_dir};

/// The key that the gateway shows its upstream, and that no client may ever see.
const UPSTREAM_KEY: &str = "upstream-key-of-one-test-run";

/// Builds the gateway and runs both suites on both databases; a failure on one does not hide the other.
pub(crate) fn clients() -> Result {
    gateway::build()?;
    let logs = work_dir("clients")?;
    let postgres = Postgres::start()?;
    let data = "sqlite://${WEIR_DATA_DIR}/weir.db".to_owned();
    let failures: Vec<String> = [("SQLite", data), ("PostgreSQL", postgres.url())]
        .iter()
        .filter_map(|(name, url)| {
            println!("-- clients on {name}");
            on_database(name, url, &logs).err().map(|error| format!("{name}: {error}"))
        })
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

fn on_database(name: &str, database: &str, logs: &Path) -> Result {
    let port = free_port()?;
    let upstream = format!("http://127.0.0.1:{port}");
    let mut script = Command::new(python());
    script.arg(directory().join("upstream.py")).args([&port.to_string(), UPSTREAM_KEY]);
    let mut service = Service::start("the scripted upstream", &mut script, &logs.join(format!("upstream-{name}.log")))?;
    service.wait_for(&format!("{upstream}/health"))?;

    let log = logs.join(format!("weir-{name}.log"));
    let gateway = Gateway::start(&config(database, &upstream), &log)?;
    let suites = [("Python", python_suite()), ("Node", node_suite())];
    let mut failed = Vec::new();
    for (language, mut suite) in suites {
        if let Err(error) = run(environment(&mut suite, &gateway, &upstream)?) {
            failed.push(format!("{language}: {error}"));
        }
    }
    failed.extend(secrets_in_log(&gateway, &log).err().map(|error| error.to_string()));
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} (the gateway's log: {})", failed.join("; "), log.display()).into())
}

/// Public names, prices and limits that the suites count on; `tests/clients/README.md` describes them.
fn config(database: &str, upstream: &str) -> String {
    format!(
        r#"database: {{ url: "{database}" }}
auth: {{ admin_key: "${{WEIR_ADMIN_KEY}}" }}
providers:
  demo: {{}}
  scripted: {{ kind: openai-compatible, base_url: "{upstream}/v1", api_key: "{UPSTREAM_KEY}" }}
models:
  echo: scripted/echo
prices:
  scripted/echo: {{ input: "1", output: "2", cache_read: "0.1" }}
"#
    )
}

/// What docs/logging.md promises: no key and no prompt is in the log, at the level that says most.
fn secrets_in_log(gateway: &Gateway, log: &Path) -> Result {
    let text = std::fs::read_to_string(log)?;
    let never = [
        ("the admin key", gateway.admin_key()),
        ("a virtual key", gateway.key.as_str()),
        ("a refused key", "sk-weir-no-such-key"),
        ("the upstream's key", UPSTREAM_KEY),
        ("a prompt", "Say hello to Ada"),
    ];
    let found: Vec<&str> = never.iter().filter(|(_, secret)| text.contains(secret)).map(|(name, _)| *name).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("the gateway's log holds {}", found.join(", ")).into()) }
}

fn python_suite() -> Command {
    let mut command = Command::new(python());
    command.args(["-m", "pytest", "-q"]).current_dir(directory().join("python"));
    command
}

fn node_suite() -> Command {
    let mut command = Command::new("node");
    command.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).current_dir(directory().join("node"));
    command
}

fn environment<'a>(suite: &'a mut Command, gateway: &Gateway, upstream: &str) -> Result<&'a mut Command> {
    Ok(suite
        .env("WEIR_URL", &gateway.url)
        .env("WEIR_KEY", &gateway.key)
        .env("WEIR_ADMIN_KEY", gateway.admin_key())
        .env("WEIR_UPSTREAM_URL", upstream)
        .env("WEIR_UPSTREAM_KEY", UPSTREAM_KEY)
        .env("WEIR_BIN", bin_dir()?.join("weir"))
        .env("WEIR_README", root().join("README.md"))
        .env("PYTHONDONTWRITEBYTECODE", "1"))
}
