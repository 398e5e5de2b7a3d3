//! `weir usage`: usage and cost, over `--url` or straight on the database.

pub mod verify;

use std::io::{self, Write};
use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use super::connect::{ConnectArgs, Connection, Local, block_on};
use super::{BAD_USAGE, FAILED, table};
use crate::http::openai::usage::answer;
use crate::http::openai::usage::ask::{Ask, Format as Written};
use crate::reports::parquet::Encoder;
use crate::store::usage::{export, page, totals};

/// Shows usage and cost.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct UsageArgs {
    #[command(subcommand)]
    command: Option<UsageCommand>,
    /// From when: a span such as 7d, a date, or a time.
    #[arg(long, default_value = "7d")]
    since: String,
    /// Until when.
    #[arg(long)]
    to: Option<String>,
    /// Totals by key, team, user, model, provider, endpoint, status, tag, hour, day, month; several
    /// separated by commas. Without it, the newest rows.
    #[arg(long, value_name = "LIST")]
    group_by: Option<String>,
    /// Only this key's.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only this model's.
    #[arg(long)]
    model: Option<String>,
    /// Only this provider's.
    #[arg(long)]
    provider: Option<String>,
    /// Only with this status.
    #[arg(long)]
    status: Option<String>,
    /// Only with this tag: name or name=value.
    #[arg(long)]
    tag: Option<String>,
    /// Rows of a table.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where it is written instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum UsageCommand {
    /// Check a receipt of /v1/usage/{request_id}.
    Verify(verify::VerifyArgs),
}

/// How usage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// RFC 4180, all rows.
    Csv,
    /// A JSON object a line, all rows.
    Ndjson,
    /// An Apache Parquet file, all rows.
    Parquet,
}

/// Runs `weir usage`. Answers the exit code.
pub fn run(args: UsageArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { to_output(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

/// To the file that was named, or to standard output.
async fn to_output(
    mut args: UsageArgs,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let Some(path) = args.output.take() else { return work(args, env, out, err).await };
    match std::fs::File::create(&path) {
        Ok(mut file) => work(args, env, &mut file, err).await,
        Err(error) => {
            let _ = writeln!(err, "weir: {}: {error}", path.display());
            FAILED
        }
    }
}

async fn work(
    mut args: UsageArgs,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    if let Some(UsageCommand::Verify(verify)) = args.command.take() {
        return verify::run(verify, args.connect, env, out, err).await;
    }
    let query = args.query();
    let (format, grouped) = (args.format, args.group_by.is_some());
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    let path = format!("/admin/v1/usage?{query}");
    let written = match (connection, format) {
        (Connection::Remote(remote), Format::Parquet) => {
            let file = remote.exchange(Method::GET, &path, "application/json", bytes::Bytes::new()).await;
            file.map(|file| out.write_all(&file))
        }
        (Connection::Local(local), Format::Parquet) => parquet(&query, &local, out).await,
        (Connection::Remote(remote), _) => {
            remote.call(Method::GET, &path, None).await.map(|text| print(&text, format, grouped, out))
        }
        (Connection::Local(local), _) => {
            on_database(&query, &local).await.map(|text| print(&text, format, grouped, out))
        }
    };
    match written {
        Ok(written) => written.map_or(FAILED, |()| 0),
        Err((code, why)) => {
            let _ = writeln!(err, "weir: {why}");
            code
        }
    }
}

impl UsageArgs {
    /// The query string that asks for the same over HTTP.
    fn query(&self) -> String {
        let format = match self.format {
            Format::Table | Format::Json => "json",
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
        };
        let pairs = [
            ("from", Some(self.since.as_str())),
            ("to", self.to.as_deref()),
            ("group_by", self.group_by.as_deref()),
            ("key_id", self.key.as_deref()),
            ("model", self.model.as_deref()),
            ("provider", self.provider.as_deref()),
            ("status", self.status.as_deref()),
            ("tag", self.tag.as_deref()),
            ("format", Some(format)),
        ];
        let limit = format!("limit={}", self.limit);
        let encode = |v: &str| percent_encoding::utf8_percent_encode(v, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(value?))));
        pairs.chain([limit]).collect::<Vec<_>>().join("&")
    }
}

/// The rows as a Parquet file, a row group at a time.
async fn parquet(query: &str, local: &Local, out: &mut dyn Write) -> Result<io::Result<()>, (u8, String)> {
    let ask = Ask::read(Some(query), local.clock.unix_ms()).map_err(|e| (BAD_USAGE, e.message))?;
    let failed = |e: &dyn std::error::Error| (FAILED, e.to_string());
    let mut encoder = Encoder::new().map_err(|e| failed(&e))?;
    let mut rows = export(&local.db, ask.filter);
    while let Some(rows) = rows.next().await.map_err(|e| (FAILED, format!("database: {e}")))? {
        let ready = encoder.push(rows).map_err(|e| failed(&e))?;
        if let Err(error) = out.write_all(&ready) {
            return Ok(Err(error));
        }
    }
    let rest = encoder.finish().map_err(|e| failed(&e))?;
    Ok(out.write_all(&rest))
}

async fn on_database(query: &str, local: &Local) -> Result<String, (u8, String)> {
    let ask = Ask::read(Some(query), local.clock.unix_ms()).map_err(|e| (BAD_USAGE, e.message))?;
    let failed = |e: crate::store::StoreError| (FAILED, format!("database: {e}"));
    if !ask.group_by.is_empty() {
        let sums = totals(&local.db, &ask.filter, &ask.group_by).await.map_err(failed)?;
        return Ok(match ask.format {
            Written::Json => answer::totals(&ask.group_by, &sums),
            Written::Csv => answer::totals_csv(&ask.group_by, &sums),
            Written::Ndjson | Written::Parquet => answer::totals_ndjson(&ask.group_by, &sums),
        });
    }
    if ask.format == Written::Json {
        return Ok(answer::page(&page(&local.db, &ask.filter, ask.cursor.as_ref(), ask.limit).await.map_err(failed)?));
    }
    let mut text = if ask.format == Written::Csv { answer::csv_header() } else { String::new() };
    let write = if ask.format == Written::Csv { answer::csv_row } else { answer::ndjson_row };
    let mut rows = export(&local.db, ask.filter);
    while let Some(rows) = rows.next().await.map_err(failed)? {
        rows.iter().for_each(|row| write(row, &mut text));
    }
    Ok(text)
}

fn print(text: &str, format: Format, grouped: bool, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Csv | Format::Ndjson | Format::Parquet => out.write_all(text.as_bytes()),
        Format::Json => writeln!(out, "{:#}", serde_json::from_str::<Value>(text).unwrap_or_default()),
        Format::Table => {
            let answer: Value = serde_json::from_str(text).unwrap_or_default();
            let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            if grouped { totals_table(rows, out) } else { rows_table(rows, out) }
        }
    }
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { "-".to_owned() } else { value.to_string() }, ToOwned::to_owned)
}

fn totals_table(rows: &[Value], out: &mut dyn Write) -> io::Result<()> {
    const SUMS: [&str; 6] = ["requests", "errors", "input_tokens", "cached_tokens", "output_tokens", "cost_usd"];
    const GROUPS: [&str; 11] =
        ["key", "team", "user", "model", "provider", "endpoint", "status", "tag", "hour", "day", "month"];
    let groups = GROUPS.into_iter().filter(|g| rows.first().is_some_and(|r| r.get(g).is_some()));
    let columns: Vec<&str> = groups.chain(SUMS).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|c| cell(&row[*c])).collect()).collect();
    table::write(out, &columns, &rows)
}

fn rows_table(rows: &[Value], out: &mut dyn Write) -> io::Result<()> {
    const COLUMNS: [&str; 9] =
        ["at", "model", "provider", "status", "input_tokens", "output_tokens", "cost_usd", "latency_ms", "key_id"];
    let rows: Vec<Vec<String>> = rows.iter().map(|row| COLUMNS.iter().map(|c| cell(&row[*c])).collect()).collect();
    table::write(out, &COLUMNS, &rows)
}
