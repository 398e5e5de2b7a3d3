//! `cargo xtask clients`: the official SDKs, frameworks and coding agents against a started gateway, once on each database.

use std::path::Path;
use std::process::Command;

use crate::gateway::{self, Gateway};
use crate::postgres::Postgres;
use crate::setup::{clients as directory, python};
use crate::shell::{Result, Service, bin_dir, free_port, root, run, work_dir};

/// The key that the gateway shows its upstream, and that no client may ever see.
const UPSTREAM_KEY: &str = "upstream-key-of-one-test-run";

/// Builds the gateway and runs every suite on both databases; a failure on one does not hide the other.
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
    let (_script, upstream) = scripted("upstream.py", &logs.join(format!("upstream-{name}.log")))?;
    let (_dialects, dialects) = scripted("dialects", &logs.join(format!("dialects-{name}.log")))?;
    let log = logs.join(format!("weir-{name}.log"));
    let gateway = Gateway::start(&config(database, &upstream, &dialects), &log)?;
    let suites = [
        ("Python", python_suite("python")),
        ("Python, translated", python_suite("python/translation")),
        ("Node", node_suite("node")?),
        ("Node, translated", node_suite("node/translation")?),
    ];
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

/// Starts a scripted upstream; it ends with the service, and listens on the URL.
fn scripted(script: &str, log: &Path) -> Result<(Service, String)> {
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(python());
    command.arg(directory().join(script)).args([&port.to_string(), UPSTREAM_KEY]).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut service = Service::start("the scripted upstream", &mut command, log)?;
    service.wait_for(&format!("{url}/health"))?;
    Ok((service, url))
}

/// Public names, prices and limits that the suites count on; `tests/clients/README.md` describes them.
fn config(database: &str, upstream: &str, dialects: &str) -> String {
    format!(
        r#"database: {{ url: "{database}" }}
auth: {{ admin_key: "${{WEIR_ADMIN_KEY}}" }}
providers:
  demo: {{}}
  scripted: {{ kind: openai-compatible, base_url: "{upstream}/v1", api_key: "{UPSTREAM_KEY}" }}
  # A key that a provider refuses is not used for anything else there.
  refusing: {{ kind: openai-compatible, base_url: "{upstream}/v1", api_key: "{UPSTREAM_KEY}" }}
  openai: {{ base_url: "{dialects}/openai/v1", api_key: "{UPSTREAM_KEY}" }}
  responses-only: {{ kind: openai, base_url: "{dialects}/openai/v1", api_key: "{UPSTREAM_KEY}", operations: [responses] }}
  anthropic: {{ base_url: "{dialects}/anthropic/v1", api_key: "{UPSTREAM_KEY}" }}
  gemini: {{ base_url: "{dialects}/gemini/v1beta", api_key: "{UPSTREAM_KEY}" }}
  bedrock: {{ base_url: "{dialects}/bedrock", api_key: "{UPSTREAM_KEY}" }}
  cohere: {{ base_url: "{dialects}/cohere", api_key: "{UPSTREAM_KEY}" }}
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
        ("a translated prompt", "How is it in Geneva"),
    ];
    let found: Vec<&str> = never.iter().filter(|(_, secret)| text.contains(secret)).map(|(name, _)| *name).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("the gateway's log holds {}", found.join(", ")).into()) }
}

/// The tests in this directory, by the nearest `pytest.ini`.
fn python_suite(place: &str) -> Command {
    let mut command = Command::new(python());
    command.args(["-m", "pytest", "-q"]).current_dir(directory().join(place));
    command
}

/// The test files right in this directory: Node itself would go into those below it.
fn node_suite(place: &str) -> Result<Command> {
    let directory = directory().join(place);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".test.js") {
            files.push(name);
        }
    }
    files.sort();
    let mut command = Command::new("node");
    command.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(files).current_dir(directory);
    Ok(command)
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
