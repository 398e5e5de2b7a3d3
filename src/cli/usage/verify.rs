//! `weir usage verify`: checks a receipt, without asking anybody where the key is given.

use std::io::Write;
use std::path::{Path, PathBuf};

use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::cli::connect::{ConnectArgs, Connection, Local};
use crate::cli::{BAD_USAGE, FAILED};
use crate::reports::receipt::{Signer, verify};

/// Largest file that is read: a row is far smaller.
const MAX_FILE: u64 = 1024 * 1024;

/// Checks a receipt.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// The receipt, as /v1/usage/{request_id} gave it.
    file: PathBuf,
    /// The public key, as /v1/usage/receipts/key gives it; without it, the key of the gateway (--url) or of
    /// the database.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Runs `weir usage verify`. Answers the exit code: 0 for a receipt that holds, 1 for one that does not.
pub async fn run(
    args: VerifyArgs,
    connect: ConnectArgs,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    match check(args, connect, env, err).await {
        Ok(said) => writeln!(out, "{said}").map_or(FAILED, |()| 0),
        Err((code, why)) => {
            if !why.is_empty() {
                let _ = writeln!(err, "weir: {why}");
            }
            code
        }
    }
}

async fn check(
    args: VerifyArgs,
    connect: ConnectArgs,
    env: &dyn Fn(&str) -> Option<String>,
    err: &mut dyn Write,
) -> Result<String, (u8, String)> {
    let receipt = read(&args.file)?;
    let key = match &args.key {
        Some(file) => read(file)?,
        // What is wrong was told already.
        None => key_of(connect.connect(env, err).await.map_err(|code| (code, String::new()))?).await?,
    };
    let key_id = verify(&receipt, &key).map_err(|why| (FAILED, format!("{}: {why}", args.file.display())))?;
    let text = |name: &str| receipt[name].as_str().unwrap_or("-").to_owned();
    Ok(format!(
        "{}: the receipt holds (request {}, {} USD, key {key_id})",
        args.file.display(),
        text("id"),
        text("cost_usd")
    ))
}

async fn key_of(connection: Connection) -> Result<Value, (u8, String)> {
    match connection {
        Connection::Remote(remote) => {
            let text = remote.call(Method::GET, "/v1/usage/receipts/key", None).await?;
            serde_json::from_str(&text).map_err(|e| (FAILED, format!("the gateway's answer is not JSON: {e}")))
        }
        Connection::Local(local) => signer(&local).await.map(|signer| signer.jwk()),
    }
}

async fn signer(local: &Local) -> Result<Signer, (u8, String)> {
    match &local.config.receipts.signing_key {
        Some(key) => {
            Signer::from_text(key.expose_secret()).map_err(|e| (BAD_USAGE, format!("receipts.signing_key: {e}")))
        }
        None => Signer::stored(&local.db, &local.chance).await.map_err(|e| (FAILED, format!("database: {e}"))),
    }
}

fn read(file: &Path) -> Result<Value, (u8, String)> {
    let told = |why: String| (BAD_USAGE, format!("{}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|e| told(e.to_string()))?.len();
    if size > MAX_FILE {
        return Err(told(format!("larger than {MAX_FILE} bytes: not a receipt")));
    }
    let bytes = std::fs::read(file).map_err(|e| told(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| told(format!("not JSON: {e}")))
}
