//! The gateway's debug binary, started fresh for one run of clients.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::shell::{Result, Service, TempDir, bin_dir, free_port, http, root, run};

/// Known to this run alone: the gateway listens on loopback and ends with the run.
const ADMIN_KEY: &str = "admin-key-of-one-test-run";

/// A started gateway with its own data directory.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where it listens, `http://127.0.0.1:<port>`.
    pub(crate) url: String,
    /// A virtual key without limits, made over the admin plane.
    pub(crate) key: String,
    // Fields drop in order: the service ends before its directory goes.
    _service: Service,
    _directory: TempDir,
}

impl Gateway {
    /// Starts `target/debug/weir` with this configuration, its log in `log`, and makes a virtual key.
    ///
    /// The provider keys of the caller's environment are withheld: a test must not reach a real provider.
    pub(crate) fn start(config: &str, log: &Path) -> Result<Self> {
        let directory = TempDir::new("data")?;
        let file = directory.path().join("weir.yaml");
        std::fs::write(&file, config)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(bin_dir()?.join("weir"));
        command.arg("serve").arg("--config").arg(&file).args(["--listen", &listen]);
        command.env_clear().current_dir(directory.path());
        command.env("WEIR_DATA_DIR", directory.path()).env("WEIR_ADMIN_KEY", ADMIN_KEY).env("RUST_LOG", "weir=debug");
        let mut service = Service::start("weir", &mut command, log)?;
        let url = format!("http://{listen}");
        service.wait_for(&format!("{url}/health/ready"))?;
        let key = create_key(&url)?;
        Ok(Self { url, key, _service: service, _directory: directory })
    }

    /// The admin key it was started with.
    pub(crate) fn admin_key(&self) -> &'static str {
        ADMIN_KEY
    }
}

/// Builds the binary that [`Gateway::start`] runs.
pub(crate) fn build() -> Result {
    run(Command::new("cargo").args(["build", "--locked", "--bin", "weir"]).current_dir(root()))
}

fn create_key(url: &str) -> Result<String> {
    let body = json!({ "name": "clients" }).to_string();
    let answer = http("POST", &format!("{url}/admin/v1/keys"), Some(ADMIN_KEY), Some(&body))?;
    if !answer.ok() {
        return Err(format!("POST /admin/v1/keys answered {}: {}", answer.status, answer.body).into());
    }
    let created: Value = serde_json::from_str(&answer.body)?;
    let key = created["key"].as_str();
    Ok(key.ok_or("POST /admin/v1/keys answered without `key`")?.to_owned())
}
