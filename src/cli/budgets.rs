//! `weir budgets`: what may be spent by whom, over `--url` or straight on the database. A running gateway
//! follows the database within a second.

use std::io::{self, Write};

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::connect::{ConnectArgs, Connection, Local, block_on, exit_code};
use super::{BAD_USAGE, FAILED, table};
use crate::admin::budgets::{self as manage, Filter};
use crate::budget::Scope;

/// Manages budgets.
#[derive(Clone, Debug, clap::Args)]
pub struct BudgetsArgs {
    #[command(subcommand)]
    command: BudgetsCommand,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum BudgetsCommand {
    /// Create a budget.
    Create(CreateArgs),
    /// List budgets with how far each is spent.
    List(SubjectArgs),
    /// Show a budget.
    Show {
        /// Its id.
        id: String,
    },
    /// Allow more for a while, wherever the budget is managed.
    Raise(RaiseArgs),
    /// End a budget that was created here; what was charged to it stays.
    Delete {
        /// Its id.
        id: String,
    },
}

/// A budget to create.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(
    ["key", "user", "team", "organization", "provider", "model", "tag"]
))]
pub struct CreateArgs {
    /// A name for people.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    subject: SubjectArgs,
    /// What may be spent in a period, in US dollars.
    #[arg(long)]
    usd: String,
    /// After what it begins anew: hour, day, week, month or total.
    #[arg(long)]
    period: String,
    /// Whose calendar that is, such as Europe/Berlin; UTC without this.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Add what is left at a period's end to the next.
    #[arg(long)]
    carry_over: bool,
    /// At how much of it an event is sent, in percent, separated by commas; 50,80,100 without this.
    #[arg(long, value_delimiter = ',', value_name = "PERCENT")]
    thresholds: Option<Vec<u8>>,
}

/// What a budget is for.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct SubjectArgs {
    /// Of a virtual key.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Of a user's keys.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Of a team's keys.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// Of an organisation's keys.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// Of a provider.
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Of a model: as it is asked for, or provider/model.
    #[arg(long)]
    model: Option<String>,
    /// Of a tag of requests.
    #[arg(long, value_name = "NAME=VALUE")]
    tag: Option<String>,
}

/// More for a while.
#[derive(Clone, Debug, clap::Args)]
pub struct RaiseArgs {
    /// The budget's id.
    id: String,
    /// How much more, in US dollars; 0 ends a raise.
    #[arg(long)]
    usd: String,
    /// Until when: a span such as 2d or 12h, or a time such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// Budgets asked for at once; `list` asks until there are no more.
const PAGE: u32 = 1000;

/// Runs `weir budgets`. Answers the exit code.
pub fn run(args: BudgetsArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { work(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

async fn work(args: BudgetsArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    let answer = match &args.command {
        BudgetsCommand::List(_) => every_page(&args.command, &connection).await,
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

/// All budgets as one list.
async fn every_page(command: &BudgetsCommand, connection: &Connection) -> Result<Value, (u8, String)> {
    let mut all = once(command, None, connection).await?;
    while let Some(cursor) = all["next_cursor"].as_str().map(ToOwned::to_owned) {
        let mut page = once(command, Some(&cursor), connection).await?;
        if let (Some(all), Some(more)) = (all["data"].as_array_mut(), page["data"].as_array_mut()) {
            all.append(more);
        }
        all["next_cursor"] = page["next_cursor"].take();
    }
    all["has_more"] = Value::Bool(false);
    Ok(all)
}

async fn once(command: &BudgetsCommand, cursor: Option<&str>, connection: &Connection) -> Result<Value, (u8, String)> {
    match connection {
        Connection::Remote(remote) => {
            let (method, path, body) = request(command, cursor);
            let text = remote.call(method, &path, body.as_ref()).await?;
            serde_json::from_str(&text).map_err(|e| (FAILED, format!("the gateway's answer is not JSON: {e}")))
        }
        Connection::Local(local) => on_database(command, cursor, local).await,
    }
}

fn request(command: &BudgetsCommand, cursor: Option<&str>) -> (Method, String, Option<Value>) {
    let segment = |id: &str| percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string();
    let one = |id: &str| format!("/admin/v1/budgets/{}", segment(id));
    match command {
        BudgetsCommand::Create(args) => (Method::POST, "/admin/v1/budgets".to_owned(), Some(created(args))),
        BudgetsCommand::List(subject) => {
            let mut path = format!("/admin/v1/budgets?limit={PAGE}");
            let filter = subject.filter();
            let scope = filter.scope.map(|scope| scope.as_str().to_owned());
            for (name, value) in
                [("scope", scope), ("subject", filter.subject), ("cursor", cursor.map(ToOwned::to_owned))]
            {
                path.extend(value.map(|value| format!("&{name}={}", segment(&value))));
            }
            (Method::GET, path, None)
        }
        BudgetsCommand::Show { id } => (Method::GET, one(id), None),
        BudgetsCommand::Raise(args) => (Method::POST, format!("{}/raise", one(&args.id)), Some(raised(args))),
        BudgetsCommand::Delete { id } => (Method::DELETE, one(id), None),
    }
}

async fn on_database(command: &BudgetsCommand, cursor: Option<&str>, local: &Local) -> Result<Value, (u8, String)> {
    let Local { db, clock, chance, .. } = local;
    let now = clock.unix_ms();
    let outcome = match command {
        BudgetsCommand::Create(args) => manage::create(db, chance, now, typed(created(args))?).await,
        BudgetsCommand::List(subject) => manage::list(db, now, cursor, PAGE, &subject.filter()).await,
        BudgetsCommand::Show { id } => manage::show(db, now, id).await,
        BudgetsCommand::Raise(args) => manage::raise(db, now, &args.id, typed(raised(args))?).await,
        BudgetsCommand::Delete { id } => manage::delete(db, now, id).await,
    };
    outcome.map_err(|error| (exit_code(error.status), error.message))
}

/// A body as the API reads it.
fn typed<T: DeserializeOwned>(body: Value) -> Result<T, (u8, String)> {
    serde_path_to_error::deserialize(body).map_err(|error| (BAD_USAGE, error.to_string()))
}

impl SubjectArgs {
    fn filter(&self) -> Filter {
        let all = [
            (Scope::Key, &self.key),
            (Scope::User, &self.user),
            (Scope::Team, &self.team),
            (Scope::Organization, &self.organization),
            (Scope::Provider, &self.provider),
            (Scope::Model, &self.model),
            (Scope::Tag, &self.tag),
        ];
        let said = all.into_iter().find_map(|(scope, subject)| Some((scope, subject.clone()?)));
        said.map_or_else(Filter::default, |(scope, subject)| Filter { scope: Some(scope), subject: Some(subject) })
    }
}

/// The same body for the API and the database.
fn created(args: &CreateArgs) -> Value {
    let Filter { scope, subject } = args.subject.filter();
    let mut body = json!({
        "name": args.name,
        "scope": scope,
        "subject": subject,
        "usd": args.usd,
        "period": args.period,
        "carry_over": args.carry_over,
    });
    if let Some(zone) = &args.time_zone {
        body["time_zone"] = zone.as_str().into();
    }
    if let Some(thresholds) = &args.thresholds {
        body["thresholds"] = thresholds.as_slice().into();
    }
    body
}

fn raised(args: &RaiseArgs) -> Value {
    json!({"usd": args.usd, "until": args.until})
}

fn print(command: &BudgetsCommand, answer: &Value, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{answer:#}");
    }
    match command {
        BudgetsCommand::List(_) => {
            let budgets = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            let header =
                ["id", "name", "scope", "subject", "usd", "period", "spent", "reserved", "remaining", "resets"];
            table::write(out, &header, &budgets.iter().map(row).collect::<Vec<_>>())
        }
        _ => details("", answer, out),
    }
}

fn row(budget: &Value) -> Vec<String> {
    let window = &budget["window"];
    let texts = ["id", "name", "scope", "subject", "usd", "period"].map(|name| &budget[name]);
    let amounts = ["spent_usd", "reserved_usd", "remaining_usd", "ends_at"].map(|name| &window[name]);
    texts.into_iter().chain(amounts).map(|value| value.as_str().unwrap_or("-").to_owned()).collect()
}

/// A value a line; those of the window and of a raise with their names before them.
fn details(before: &str, object: &Value, out: &mut dyn Write) -> io::Result<()> {
    for (name, value) in object.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        if value.is_object() {
            details(&format!("{name}."), value, out)?;
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        writeln!(out, "{:<22} {value}", format!("{before}{name}"))?;
    }
    Ok(())
}
