//! `weir alerts`: receivers of alerts, over `--url` or straight on the database.

use std::io::{self, Write};

use http::Method;
use serde_json::{Value, json};

use super::connect::{ConnectArgs, Connection, Local, block_on, exit_code};
use super::{BAD_USAGE, FAILED, table};
use crate::admin::alerts::{self as manage, ReplayBody, Wanted};
use crate::alerts::Receivers;

/// Shows receivers of alerts, and what they were told and never took.
#[derive(Clone, Debug, clap::Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum AlertsCommand {
    /// List receivers and how they do.
    List,
    /// List events, the newest first: at most a thousand.
    Events {
        /// Only of this kind, such as budget.exceeded.
        #[arg(long)]
        kind: Option<String>,
        /// Only from this moment on, such as 2026-11-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<jiff::Timestamp>,
    },
    /// List events that a receiver never took: the newest thousand.
    Dead {
        /// Only of this receiver.
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
    },
    /// Send again: one dead letter, or everything since a moment to one receiver.
    Replay {
        /// The dead letter's id.
        #[arg(required_unless_present = "sink", conflicts_with = "sink")]
        id: Option<String>,
        /// The receiver.
        #[arg(long, value_name = "NAME", requires = "since")]
        sink: Option<String>,
        /// From when on, such as 2026-11-01T00:00:00Z.
        #[arg(long, value_name = "TIME", requires = "sink")]
        since: Option<jiff::Timestamp>,
    },
    /// Send a receiver a test, once, and say what came of it.
    Test {
        /// The receiver.
        name: String,
    },
}

/// Entries of a list.
const PAGE: u32 = 1000;

/// Runs `weir alerts`. Answers the exit code.
pub fn run(args: AlertsArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { work(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

async fn work(args: AlertsArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    let answer = match &connection {
        Connection::Remote(remote) => {
            let (method, path, body) = request(&args.command);
            remote.call(method, &path, body.as_ref()).await.and_then(|text| {
                serde_json::from_str(&text).map_err(|e| (FAILED, format!("the gateway's answer is not JSON: {e}")))
            })
        }
        Connection::Local(local) => on_database(&args.command, local, env).await,
    };
    match answer {
        Ok(answer) => {
            let failed = answer["delivered"] == Value::Bool(false);
            let printed = print(&args.command, &answer, args.json, out);
            printed.map_or(FAILED, |()| if failed { FAILED } else { 0 })
        }
        Err((code, why)) => {
            let _ = writeln!(err, "weir: {why}");
            code
        }
    }
}

fn request(command: &AlertsCommand) -> (Method, String, Option<Value>) {
    let text = |id: &str| percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string();
    let query = |name: &str, value: Option<String>| value.map_or_else(String::new, |v| format!("&{name}={}", text(&v)));
    let base = "/admin/v1/alerts";
    match command {
        AlertsCommand::List => (Method::GET, base.to_owned(), None),
        AlertsCommand::Events { kind, since } => {
            let query = query("kind", kind.clone()) + &query("since", since.map(|at| at.to_string()));
            (Method::GET, format!("{base}/events?limit={PAGE}{query}"), None)
        }
        AlertsCommand::Dead { sink } => {
            (Method::GET, format!("{base}/dead?limit={PAGE}{}", query("sink", sink.clone())), None)
        }
        AlertsCommand::Replay { id: Some(id), .. } => (Method::POST, format!("{base}/dead/{}/replay", text(id)), None),
        AlertsCommand::Replay { sink, since, .. } => {
            let body = json!({"sink": sink, "since": since.map(|at| at.to_string())});
            (Method::POST, format!("{base}/replay"), Some(body))
        }
        AlertsCommand::Test { name } => (Method::POST, format!("{base}/{}/test", text(name)), None),
    }
}

async fn on_database(
    command: &AlertsCommand,
    local: &Local,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, (u8, String)> {
    let Local { db, clock, chance, config, .. } = local;
    let receivers = || Receivers::new(config, env("SSL_CERT_FILE").as_deref()).map_err(|why| (BAD_USAGE, why));
    let now = clock.unix_ms();
    let wanted = Wanted { limit: PAGE, ..Wanted::default() };
    let outcome = match command {
        AlertsCommand::List => manage::list(db, &receivers()?).await,
        AlertsCommand::Events { kind, since } => {
            let since = since.map(jiff::Timestamp::as_millisecond);
            manage::events(db, Wanted { kind: kind.clone(), since, ..wanted }).await
        }
        AlertsCommand::Dead { sink } => manage::dead(db, Wanted { sink: sink.clone(), ..wanted }).await,
        AlertsCommand::Replay { sink: Some(sink), since: Some(since), .. } => {
            manage::replay_since(db, &ReplayBody { sink: sink.clone(), since: *since }).await
        }
        AlertsCommand::Replay { id, .. } => manage::replay_one(db, id.as_deref().unwrap_or_default(), now).await,
        AlertsCommand::Test { name } => manage::test(&receivers()?, name, chance, now).await,
    };
    outcome.map_err(|error| (exit_code(error.status), error.message))
}

fn print(command: &AlertsCommand, answer: &Value, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{answer:#}");
    }
    let rows =
        |row: fn(&Value) -> Vec<String>| answer["data"].as_array().into_iter().flatten().map(row).collect::<Vec<_>>();
    match command {
        AlertsCommand::List => {
            let header = ["name", "kind", "target", "pending", "dead", "delivered", "last error"];
            table::write(out, &header, &rows(receiver))
        }
        AlertsCommand::Events { .. } => table::write(out, &["id", "type", "created", "data"], &rows(event)),
        AlertsCommand::Dead { .. } => {
            let header = ["id", "sink", "type", "attempts", "failed", "last error"];
            table::write(out, &header, &rows(letter))
        }
        AlertsCommand::Replay { .. } => writeln!(out, "{} will be told again", shown(&answer["sink"])),
        AlertsCommand::Test { .. } if answer["delivered"] == Value::Bool(true) => {
            writeln!(out, "{} was told ({})", shown(&answer["sink"]), shown(&answer["event_id"]))
        }
        AlertsCommand::Test { .. } => {
            writeln!(out, "{} was not told: {}", shown(&answer["sink"]), shown(&answer["error"]))
        }
    }
}

fn receiver(value: &Value) -> Vec<String> {
    ["name", "kind", "target", "pending", "dead", "delivered", "last_error"].map(|key| shown(&value[key])).to_vec()
}

fn event(value: &Value) -> Vec<String> {
    ["id", "type", "created_at", "data"].map(|key| shown(&value[key])).to_vec()
}

fn letter(value: &Value) -> Vec<String> {
    let cells = [
        &value["id"],
        &value["sink"],
        &value["event"]["type"],
        &value["attempts"],
        &value["failed_at"],
        &value["last_error"],
    ];
    cells.map(shown).to_vec()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
