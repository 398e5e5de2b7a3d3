//! `weir invoices`: providers' own accounts beside the ledger, over `--url` or straight on the database.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::connect::{ConnectArgs, Connection, Local, block_on};
use super::{BAD_USAGE, FAILED, table};
use crate::reports::invoice::{self, Format, ImportError, MAX_FILE};
use crate::snapshot::Snapshot;
use crate::store::{StoreError, invoices};

/// Compares providers' invoices with the ledger.
#[derive(Clone, Debug, clap::Args)]
pub struct InvoicesArgs {
    #[command(subcommand)]
    command: InvoicesCommand,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum InvoicesCommand {
    /// Import a provider's usage or cost CSV. The same file again changes nothing.
    Import {
        /// The file.
        file: PathBuf,
        /// The provider's name in the configuration.
        #[arg(long, value_name = "NAME")]
        provider: String,
        /// Whose form it has: openai, anthropic, or auto, which goes by its columns.
        #[arg(long, default_value = "auto", value_name = "FORMAT")]
        format: String,
    },
    /// List what was imported.
    List,
    /// Show how an invoice differs from the ledger, by day and model.
    Diff {
        /// Its id.
        id: String,
    },
    /// Forget an invoice.
    Delete {
        /// Its id.
        id: String,
    },
}

/// Invoices asked for at once; `list` asks until there are no more.
const PAGE: u32 = 1000;

type Refusal = (u8, String);

/// Runs `weir invoices`. Answers the exit code.
pub fn run(args: InvoicesArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { work(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

async fn work(
    args: InvoicesArgs,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    let done = match &connection {
        Connection::Remote(remote) => over_http(&args.command, remote).await,
        Connection::Local(local) => on_database(&args.command, local, env).await,
    };
    match done {
        Ok(answer) => print(&args.command, &answer, args.json, out).map_or(FAILED, |()| 0),
        Err((code, why)) => {
            let _ = writeln!(err, "weir: {why}");
            code
        }
    }
}

async fn over_http(command: &InvoicesCommand, remote: &super::connect::Remote) -> Result<Value, Refusal> {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let (method, path, body) = match command {
        InvoicesCommand::Import { file, provider, format } => {
            let path = format!("/admin/v1/invoices?provider={}&format={}", encode(provider), encode(format));
            (Method::POST, path, read(file)?)
        }
        InvoicesCommand::List => return every_page(remote).await,
        InvoicesCommand::Diff { id } => {
            (Method::GET, format!("/admin/v1/invoices/{}/difference", encode(id)), Bytes::new())
        }
        InvoicesCommand::Delete { id } => (Method::DELETE, format!("/admin/v1/invoices/{}", encode(id)), Bytes::new()),
    };
    json_of(&remote.exchange(method, &path, "text/csv", body).await?)
}

async fn every_page(remote: &super::connect::Remote) -> Result<Value, Refusal> {
    let mut all = Vec::new();
    let mut path = format!("/admin/v1/invoices?limit={PAGE}");
    loop {
        let mut page = json_of(&remote.exchange(Method::GET, &path, "text/csv", Bytes::new()).await?)?;
        if let Some(data) = page["data"].as_array_mut() {
            all.append(data);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/admin/v1/invoices?limit={PAGE}&cursor={cursor}"),
            None => return Ok(json!({"object": "list", "data": all})),
        }
    }
}

fn json_of(bytes: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes).map_err(|e| (FAILED, format!("the gateway's answer is not JSON: {e}")))
}

async fn on_database(
    command: &InvoicesCommand,
    local: &Local,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, Refusal> {
    let failed = |error: StoreError| (FAILED, format!("database: {error}"));
    let unknown = |id: &str| (FAILED, format!("there is no invoice '{id}'"));
    match command {
        InvoicesCommand::Import { file, provider, format } => {
            let format = Format::parse(format).map_err(|why| (BAD_USAGE, format!("--format {why}")))?;
            if !snapshot(local, env)?.providers.contains_key(provider.as_str()) {
                return Err((
                    BAD_USAGE,
                    format!("--provider {provider}: there is no such provider in the configuration"),
                ));
            }
            let done = invoice::import(&local.db, local.clock.unix_ms(), provider, format, &read(file)?).await;
            done.map_err(|error| match error {
                ImportError::File(fault) => (BAD_USAGE, format!("{}: {fault}", file.display())),
                ImportError::Store(error) => failed(error),
            })
        }
        InvoicesCommand::List => {
            let mut all = invoice::list(&local.db, "", PAGE).await.map_err(failed)?;
            while let Some(after) = all["next_cursor"].as_str().map(ToOwned::to_owned) {
                let mut page = invoice::list(&local.db, &after, PAGE).await.map_err(failed)?;
                if let (Some(all), Some(more)) = (all["data"].as_array_mut(), page["data"].as_array_mut()) {
                    all.append(more);
                }
                all["next_cursor"] = page["next_cursor"].take();
            }
            Ok(all)
        }
        InvoicesCommand::Diff { id } => {
            let told = invoice::difference(&local.db, &snapshot(local, env)?, id).await.map_err(failed)?;
            told.ok_or_else(|| unknown(id))
        }
        InvoicesCommand::Delete { id } => match invoices::delete(&local.db, id).await.map_err(failed)? {
            true => Ok(json!({"id": id, "object": "invoice", "deleted": true})),
            false => Err(unknown(id)),
        },
    }
}

fn snapshot(local: &Local, env: &dyn Fn(&str) -> Option<String>) -> Result<Snapshot, Refusal> {
    Snapshot::build(&local.config, env, local.clock.mono_ns()).map_err(|why| (BAD_USAGE, why))
}

fn read(file: &Path) -> Result<Bytes, Refusal> {
    let told = |why: String| (BAD_USAGE, format!("{}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|e| told(e.to_string()))?.len();
    if size > MAX_FILE {
        return Err(told(format!("larger than {MAX_FILE} bytes: import it in parts, by month")));
    }
    std::fs::read(file).map(Bytes::from).map_err(|e| told(e.to_string()))
}

fn print(command: &InvoicesCommand, answer: &Value, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{answer:#}");
    }
    match command {
        InvoicesCommand::Import { .. } => imported(answer, out),
        InvoicesCommand::List => {
            let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            const COLUMNS: [&str; 7] = ["id", "provider", "format", "first_day", "last_day", "lines", "cost_usd"];
            let rows: Vec<_> = rows.iter().map(|row| COLUMNS.iter().map(|c| cell(&row[*c])).collect()).collect();
            table::write(out, &COLUMNS, &rows)
        }
        InvoicesCommand::Diff { .. } => differences(answer, out),
        InvoicesCommand::Delete { id } => writeln!(out, "{id} is forgotten"),
    }
}

fn imported(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let done = if answer["imported"] == true { "imported" } else { "was imported before" };
    let text = |name: &str| cell(&answer[name]);
    writeln!(
        out,
        "{} {done}: {} lines of {}, {} to {}",
        text("id"),
        text("lines"),
        text("provider"),
        text("first_day"),
        text("last_day")
    )?;
    let unknown: Vec<&str> =
        answer["unknown_columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !unknown.is_empty() {
        writeln!(out, "columns that are not known and were not read: {}", unknown.join(", "))?;
    }
    Ok(())
}

/// Costs where the invoice has them, else tokens.
fn differences(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let has_cost = answer["invoice"]["has_cost"] == true;
    let shown: &[&str] = if has_cost { &["cost_usd"] } else { &["input_tokens", "output_tokens"] };
    let mut columns = vec!["day".to_owned(), "model".to_owned(), "side".to_owned()];
    for name in shown {
        columns.extend(["provider", "weir", "difference"].map(|side| format!("{name} {side}")));
        columns.push("%".to_owned());
    }
    let numbers = |row: &Value| {
        let mut cells = Vec::new();
        for name in shown {
            cells.extend(["provider", "weir", "difference"].map(|side| cell(&row[side][*name])));
            cells.push(cell(&row["difference"][name.replace("_usd", "") + "_percent"]));
        }
        cells
    };
    let row = |row: &Value| ["day", "model", "side"].iter().map(|c| cell(&row[*c])).chain(numbers(row)).collect();
    let mut rows: Vec<Vec<String>> = answer["data"].as_array().into_iter().flatten().map(row).collect();
    let total = ["total", "", ""].map(ToOwned::to_owned);
    rows.push(total.into_iter().chain(numbers(&answer["totals"])).collect());
    table::write(out, &columns.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { "-".to_owned() } else { value.to_string() }, ToOwned::to_owned)
}
