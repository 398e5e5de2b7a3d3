//! `weir keys`: virtual keys, over `--url` or straight on the database. A running gateway follows
//! the database within a second.

use std::io::{self, Write};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::connect::{ConnectArgs, Connection, Local, block_on, exit_code};
use super::{BAD_USAGE, FAILED, table};
use crate::admin::keys::{self as manage, CreateBody};
use crate::admin::when::{EXPECTED, when};
use crate::clock::UnixMs;
use crate::limits::Limits;

/// Manages virtual keys.
#[derive(Clone, Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum KeysCommand {
    /// Create a key; its secret is printed once.
    Create(Box<CreateArgs>),
    /// List keys.
    List,
    /// Show a key.
    Show {
        /// Its id.
        id: String,
    },
    /// Give a key a new secret; the old one is dead at once.
    Rotate {
        /// Its id.
        id: String,
    },
    /// Revoke a key.
    Revoke {
        /// Its id.
        id: String,
    },
}

/// A key to create.
#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// A name for people.
    #[arg(long)]
    name: String,
    /// Models it may use: globs, separated by commas; all without this.
    #[arg(long, value_delimiter = ',', value_name = "GLOBS")]
    models: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Who goes first where requests wait for an upstream: high, normal or low.
    #[arg(long, value_name = "CLASS")]
    priority: Option<String>,
    /// When it stops working: a span such as 30d or 12h, or a time such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// The team it is billed to.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// The user it belongs to.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The organisation it belongs to.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// What it may cost in a period, in US dollars.
    #[arg(long, value_name = "USD", requires = "period")]
    budget_usd: Option<String>,
    /// After what its budget begins anew: hour, day, week, month or total.
    #[arg(long, requires = "budget_usd")]
    period: Option<String>,
    /// Whose calendar that is, such as Europe/Berlin; UTC without this.
    #[arg(long, value_name = "ZONE", requires = "budget_usd")]
    time_zone: Option<String>,
}

/// How much a key may use at a time.
#[derive(Clone, Debug, clap::Args)]
struct LimitArgs {
    /// Requests per second.
    #[arg(long)]
    rps: Option<u64>,
    /// Requests per minute.
    #[arg(long)]
    rpm: Option<u64>,
    /// Requests per hour.
    #[arg(long)]
    rph: Option<u64>,
    /// Requests per day.
    #[arg(long)]
    rpd: Option<u64>,
    /// Tokens per second.
    #[arg(long)]
    tps: Option<u64>,
    /// Tokens per minute.
    #[arg(long)]
    tpm: Option<u64>,
    /// Tokens per hour.
    #[arg(long)]
    tph: Option<u64>,
    /// Tokens per day.
    #[arg(long)]
    tpd: Option<u64>,
    /// Requests in flight at once.
    #[arg(long)]
    concurrency: Option<u64>,
}

impl LimitArgs {
    fn body(&self) -> Limits {
        let Self { rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency } = *self;
        Limits { rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency }
    }
}

/// Keys asked for at once; `list` asks until there are no more.
const PAGE: u32 = 1000;

/// Runs `weir keys`. Answers the exit code.
pub fn run(args: KeysArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { work(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

async fn work(args: KeysArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    let answer = match &args.command {
        KeysCommand::List => every_page(&connection).await,
        command => once(command, None, &connection).await,
    };
    match answer {
        Ok(answer) => print(&args.command, &answer, args.json, out).map_or(FAILED, |()| 0),
        Err((code, why)) => {
            let _ = writeln!(err, "weir: {why}");
            code
        }
    }
}

async fn once(command: &KeysCommand, cursor: Option<&str>, connection: &Connection) -> Result<Value, (u8, String)> {
    match connection {
        Connection::Remote(remote) => {
            let (method, path, body) = request(command, cursor).map_err(|why| (BAD_USAGE, why))?;
            remote.call(method, &path, body.as_ref()).await.and_then(|text| parse(&text))
        }
        Connection::Local(local) => on_database(command, cursor, local).await,
    }
}

/// All keys as one list.
async fn every_page(connection: &Connection) -> Result<Value, (u8, String)> {
    let mut all = once(&KeysCommand::List, None, connection).await?;
    while let Some(cursor) = all["next_cursor"].as_str().map(ToOwned::to_owned) {
        let mut page = once(&KeysCommand::List, Some(&cursor), connection).await?;
        if let (Some(all), Some(more)) = (all["data"].as_array_mut(), page["data"].as_array_mut()) {
            all.append(more);
        }
        all["next_cursor"] = page["next_cursor"].take();
    }
    all["has_more"] = Value::Bool(false);
    Ok(all)
}

fn parse(text: &str) -> Result<Value, (u8, String)> {
    serde_json::from_str(text).map_err(|e| (FAILED, format!("the gateway's answer is not JSON: {e}")))
}

/// The same body for the API and the database.
fn body(args: &CreateArgs, now: UnixMs) -> Result<Value, String> {
    let expires = args.expires.as_deref().map(|text| expiry(text, now)).transpose()?;
    Ok(json!({
        "name": args.name,
        "models": args.models,
        "team_id": args.team,
        "user_id": args.user,
        "organization_id": args.organization,
        "limits": args.limits.body(),
        "priority": args.priority,
        "expires_at": expires,
        "budget": args.budget_usd.as_ref().map(|usd| budget(args, usd)),
    }))
}

fn budget(args: &CreateArgs, usd: &str) -> Value {
    let mut budget = json!({"usd": usd, "period": args.period});
    if let Some(zone) = &args.time_zone {
        budget["time_zone"] = zone.as_str().into();
    }
    budget
}

/// A span from now, or a time.
fn expiry(text: &str, now: UnixMs) -> Result<String, String> {
    let at = when(text, now).and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map(|at| at.to_string()).ok_or_else(|| format!("--expires {text}: expected {EXPECTED}"))
}

fn request(command: &KeysCommand, cursor: Option<&str>) -> Result<(Method, String, Option<Value>), String> {
    let segment = |id: &str| percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string();
    Ok(match command {
        KeysCommand::Create(args) => {
            let now = crate::clock::Clock::system().unix_ms();
            (Method::POST, "/admin/v1/keys".to_owned(), Some(body(args, now)?))
        }
        KeysCommand::List => {
            let after = cursor.map_or_else(String::new, |cursor| format!("&cursor={}", segment(cursor)));
            (Method::GET, format!("/admin/v1/keys?limit={PAGE}{after}"), None)
        }
        KeysCommand::Show { id } => (Method::GET, format!("/admin/v1/keys/{}", segment(id)), None),
        KeysCommand::Rotate { id } => (Method::POST, format!("/admin/v1/keys/{}/rotate", segment(id)), None),
        KeysCommand::Revoke { id } => (Method::DELETE, format!("/admin/v1/keys/{}", segment(id)), None),
    })
}

async fn on_database(command: &KeysCommand, cursor: Option<&str>, local: &Local) -> Result<Value, (u8, String)> {
    let Local { db, clock, chance, .. } = local;
    let now = clock.unix_ms();
    let outcome = match command {
        KeysCommand::Create(args) => {
            let body: CreateBody = body(args, now)
                .and_then(|body| serde_path_to_error::deserialize(body).map_err(|e| e.to_string()))
                .map_err(|why| (BAD_USAGE, why))?;
            manage::create(db, chance, now, body).await
        }
        KeysCommand::List => manage::list(db, now, cursor, PAGE).await,
        KeysCommand::Show { id } => manage::show(db, now, id).await,
        KeysCommand::Rotate { id } => manage::rotate(db, chance, now, id).await,
        KeysCommand::Revoke { id } => manage::revoke(db, now, id).await,
    };
    outcome.map(|answer| answer.object).map_err(|error| (exit_code(error.status), error.message))
}

fn print(command: &KeysCommand, answer: &Value, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{answer:#}");
    }
    match command {
        KeysCommand::List => {
            let keys = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            table::write(
                out,
                &["id", "name", "key", "status", "models", "rpm", "tpm", "expires"],
                &keys.iter().map(row).collect::<Vec<_>>(),
            )
        }
        _ => details(answer, out),
    }
}

fn row(key: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let number = |v: &Value| v.as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
    let models: Vec<&str> = key["models"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    vec![
        text(&key["id"]),
        text(&key["name"]),
        format!("{}...{}", text(&key["prefix"]), text(&key["last4"])),
        text(&key["status"]),
        if models.is_empty() { "all".to_owned() } else { models.join(",") },
        number(&key["limits"]["rpm"]),
        number(&key["limits"]["tpm"]),
        text(&key["expires_at"]),
    ]
}

fn details(key: &Value, out: &mut dyn Write) -> io::Result<()> {
    if let Some(secret) = key["key"].as_str() {
        writeln!(out, "{secret}\n\nThis key is shown once; keep it.")?;
    }
    for (name, value) in key.as_object().into_iter().flatten().filter(|(name, v)| *name != "key" && !v.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        writeln!(out, "{name:<15} {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_spans_or_times() {
        assert_eq!(expiry("1h", 0).unwrap(), "1970-01-01T01:00:00Z");
        assert_eq!(expiry("30d", 0).unwrap(), "1970-01-31T00:00:00Z");
        assert_eq!(expiry("2027-01-01T00:00:00Z", 0).unwrap(), "2027-01-01T00:00:00Z");
        for text in ["", "d", "3y", "soon", "999999999999999d"] {
            assert!(expiry(text, 0).unwrap_err().contains("--expires"), "{text}");
        }
    }
}
