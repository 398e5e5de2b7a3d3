//! The code in `docs/alerts.md` that verifies a signature verifies those of the gateway, and no others.

use std::process::{Command, Stdio};

use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{SECRET, hook, ok};
use crate::support::gateway::Setup;
use crate::support::upstream::Seen;

const DOCS: &str = include_str!("../../../docs/alerts.md");

/// The block of code in that language that defines `verify`.
fn code(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut blocks = DOCS.split(fence.as_str()).skip(1);
    blocks.find(|block| block.contains("verify(")).and_then(|block| block.split("```").next()).expect("a block of code")
}

async fn delivered() -> (Seen, i64) {
    let upstream = ok().await;
    let gateway = Setup::new(format!("alerts:\n{}", hook("ops", &upstream.url(), ""))).start().await;
    gateway.admin(Method::POST, "/admin/v1/alerts/ops/test", Value::Null).await;
    let seen = upstream.only();
    let at = seen.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    (seen, at)
}

/// Runs `program` on the documented code and what calls it; `None` when there is no such program.
fn run(program: &str, file: &str, text: &str, args: &[&str]) -> Option<(bool, String)> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, text).unwrap();
    let output = Command::new(program).arg(&path).args(args).stdin(Stdio::null()).output().ok()?;
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Checks what the code says of right and wrong signatures; `false` when there is no such program.
async fn check(program: &str, file: &str, text: &str) -> bool {
    let (seen, at) = delivered().await;
    let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    let body = String::from_utf8(seen.body.to_vec()).unwrap();
    let (id, signature) = (header("webhook-id"), header("webhook-signature"));
    let (at, old) = (at.to_string(), (at - 3600).to_string());
    let try_it = |at: &str, signature: &str, body: &str| run(program, file, text, &[SECRET, &id, at, signature, body]);
    let Some((fine, why)) = try_it(&at, &signature, &body) else {
        return false;
    };
    assert!(fine, "{why}");
    let several = format!("v1,bm90aGluZw== {signature}");
    assert!(try_it(&at, &several, &body).unwrap().0, "one of several signatures is enough");
    for (at, signature, body) in [
        (&at, &signature, &format!("{body} ")),
        (&old, &signature, &body),
        (&at, &"v1,bm90aGluZw==".to_owned(), &body),
        (&at, &String::new(), &body),
    ] {
        assert!(!try_it(at, signature, body).unwrap().0, "{at} {signature} {body}");
    }
    true
}

#[tokio::test]
async fn the_documented_python_verifies() {
    let call = "\nimport sys\nsecret, id, at, signature, body = sys.argv[1:]\n\
                verify(secret, {'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature}, body.encode())\n";
    if !check("python3", "verify.py", &format!("{}{call}", code("python"))).await {
        eprintln!("no python3 on this machine: the documented code is not tested");
    }
}

#[tokio::test]
async fn the_documented_javascript_verifies() {
    let call = "\nconst [secret, id, at, signature, body] = process.argv.slice(2);\n\
                verify(secret, {'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature}, Buffer.from(body));\n";
    if !check("node", "verify.mjs", &format!("{}{call}", code("js"))).await {
        eprintln!("no node on this machine: the documented code is not tested");
    }
}
