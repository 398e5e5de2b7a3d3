//! `weir reconcile`: whether the books agree, over `--url` or straight on the database.

use std::io::{self, Write};

use http::Method;
use serde_json::Value;

use super::connect::{ConnectArgs, Connection, block_on};
use super::{BAD_USAGE, FAILED, table};
use crate::http::admin::reconcile::{describe, span};
use crate::store::reconcile;

/// Compares rows, sums, budgets and leases, to the nano-dollar.
#[derive(Clone, Debug, clap::Args)]
pub struct ReconcileArgs {
    /// From when: a span such as 7d, a date, or a time. Budgets are compared whose period lies in it; those
    /// without a period with --all.
    #[arg(long, default_value = "35d")]
    since: String,
    /// Everything there is.
    #[arg(long, conflicts_with = "since")]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs `weir reconcile`. Answers the exit code: 0 when all agrees.
pub fn run(args: ReconcileArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { work(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

async fn work(
    args: ReconcileArgs,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let since = if args.all { "1970-01-01" } else { &args.since };
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    match find(since, &connection).await {
        Err((code, why)) => {
            let _ = writeln!(err, "weir: {why}");
            code
        }
        Ok(found) => {
            let agrees = found["agrees"] == true;
            let printed = print(&found, args.json, out);
            if printed.is_ok() && agrees { 0 } else { FAILED }
        }
    }
}

async fn find(since: &str, connection: &Connection) -> Result<Value, (u8, String)> {
    match connection {
        Connection::Remote(remote) => {
            let since = percent_encoding::utf8_percent_encode(since, percent_encoding::NON_ALPHANUMERIC);
            let told = remote.call(Method::GET, &format!("/admin/v1/reconcile?from={since}"), None).await?;
            serde_json::from_str(&told).map_err(|error| (FAILED, format!("the gateway's answer is no JSON: {error}")))
        }
        Connection::Local(local) => {
            let now = local.clock.unix_ms();
            let (from, to) = span(since, now).map_err(|why| (BAD_USAGE, format!("--since {why}")))?;
            let found = reconcile::settled(&local.db, from, to).await;
            found.map(|found| describe(&found)).map_err(|error| (FAILED, error.to_string()))
        }
    }
}

fn print(found: &Value, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{found:#}");
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    writeln!(
        out,
        "{} rows, {} USD, {} hours, {} budget windows",
        found["rows"],
        text(&found["cost_usd"]),
        found["hours"],
        found["windows"]
    )?;
    let mismatches = found["mismatches"].as_array().map_or(&[][..], Vec::as_slice);
    if mismatches.is_empty() {
        return writeln!(out, "everything agrees");
    }
    let rows: Vec<Vec<String>> = mismatches
        .iter()
        .map(|mismatch| ["what", "expected", "found", "difference"].iter().map(|key| text(&mismatch[*key])).collect())
        .collect();
    table::write(out, &["WHAT", "ROWS SAY", "BOOKS SAY", "DIFFERENCE"], &rows)
}
