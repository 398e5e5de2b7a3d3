//! `weir prices`: what models cost: the price in force and its history, prices of one's own, rating past
//! rows anew. Over `--url` or straight on the database.

mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use http::Method;
use serde_json::{Map, Value, json};

use super::connect::{ConnectArgs, Connection, Local, block_on, exit_code};
use super::{BAD_USAGE, FAILED, table};
use crate::admin::prices::{self as manage, Author, ListFilter};
use crate::admin::rerate;
use crate::error::ApiError;
use crate::price::Book;
use crate::state::read_book;

/// Shows and manages prices.
#[derive(Clone, Debug, clap::Args)]
pub struct PricesArgs {
    #[command(subcommand)]
    command: PricesCommand,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum PricesCommand {
    /// The price in force for a model, where it is from, and what was and will be.
    Show {
        /// `provider/model`, or a model's own name: then every provider's price is shown.
        model: String,
    },
    /// Prices of one's own that the database holds, past and to come.
    List {
        /// `provider/model`, or a model's own name.
        #[arg(long)]
        model: Option<String>,
        /// Of this provider.
        #[arg(long)]
        provider: Option<String>,
    },
    /// Set a price, from now or a given time on: over the configuration's and the catalogue's.
    Set(SetArgs),
    /// Take back a price that does not hold yet, or end one that does.
    End {
        /// Its id.
        id: String,
    },
    /// Rate past rows by the prices as they are known now. Only tells what would change, without --apply.
    Rerate(RerateArgs),
}

/// A price to set.
#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    /// `provider/model`.
    model: String,
    /// US dollars per million tokens, such as input=2.50 output=10; per_request=0.01 is for one.
    #[arg(value_name = "COMPONENT=USD")]
    prices: Vec<String>,
    /// A JSON file with the prices in place of these: with above, tiers and off_peak.
    #[arg(long, value_name = "FILE", conflicts_with = "prices")]
    file: Option<PathBuf>,
    /// Hand back to the configuration and the catalogue.
    #[arg(long, conflicts_with_all = ["prices", "file"])]
    none: bool,
    /// From when on: a day or a time, past or to come; now, without this.
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Rows to rate.
#[derive(Clone, Debug, clap::Args)]
pub struct RerateArgs {
    /// The first row's day or time.
    #[arg(long, value_name = "WHEN")]
    from: String,
    /// The first moment no longer included; now, without this.
    #[arg(long, value_name = "WHEN")]
    to: Option<String>,
    /// Of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Of this model: as asked for, as its provider names it, or `provider/model`.
    #[arg(long)]
    model: Option<String>,
    /// Change the rows.
    #[arg(long)]
    apply: bool,
}

/// Prices asked for at once; `list` asks until there are no more.
const PAGE: u32 = 1000;

/// Runs `weir prices`. Answers the exit code.
pub fn run(args: PricesArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut told = Vec::new();
    let code = block_on(async { work(args, env, out, &mut told).await }, err);
    // What could not be told to anybody changes nothing about the code.
    let _ = err.write_all(&told);
    code
}

async fn work(args: PricesArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    if let PricesCommand::Show { model } = &args.command {
        return show::run(model, args.json, args.connect, env, out, err).await;
    }
    let request = match asked(&args.command) {
        Ok(request) => request,
        Err(why) => {
            let _ = writeln!(err, "weir: {why}");
            return BAD_USAGE;
        }
    };
    let connection = match args.connect.connect(env, err).await {
        Ok(connection) => connection,
        Err(code) => return code,
    };
    let answer = match request {
        Asked::List { model, provider } => every_page(&connection, model.as_deref(), provider.as_deref()).await,
        request => once(&connection, request).await,
    };
    match answer {
        Ok(answer) => print(&args.command, &answer, args.json, out).map_or(FAILED, |()| 0),
        Err((code, why)) => {
            let _ = writeln!(err, "weir: {why}");
            code
        }
    }
}

/// A command as the API understands it.
enum Asked {
    List { model: Option<String>, provider: Option<String> },
    Set(Value),
    End(String),
    Rerate(Value),
}

fn asked(command: &PricesCommand) -> Result<Asked, String> {
    Ok(match command {
        PricesCommand::Show { model } => Asked::List { model: Some(model.clone()), provider: None },
        PricesCommand::List { model, provider } => Asked::List { model: model.clone(), provider: provider.clone() },
        PricesCommand::End { id } => Asked::End(id.clone()),
        PricesCommand::Set(args) => Asked::Set(json!({
            "model": args.model,
            "prices": given(args)?,
            "effective_from": args.from,
            "note": args.note,
        })),
        PricesCommand::Rerate(args) => Asked::Rerate(json!({
            "from": args.from,
            "to": args.to,
            "provider": args.provider,
            "model": args.model,
            "dry_run": !args.apply,
        })),
    })
}

fn given(args: &SetArgs) -> Result<Value, String> {
    if args.none {
        return Ok(Value::Null);
    }
    if let Some(file) = &args.file {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        return serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()));
    }
    let mut prices = Map::new();
    for pair in &args.prices {
        let (name, usd) = pair.split_once('=').ok_or_else(|| format!("{pair}: expected a price such as input=2.50"))?;
        if prices.insert(name.to_owned(), usd.into()).is_some() {
            return Err(format!("{pair}: {name} is given twice"));
        }
    }
    if prices.is_empty() {
        return Err("no price: give some such as input=2.50 output=10, --file, or --none".to_owned());
    }
    Ok(Value::Object(prices))
}

async fn once(connection: &Connection, request: Asked) -> Result<Value, (u8, String)> {
    match connection {
        Connection::Remote(remote) => {
            let (method, path, body) = match request {
                Asked::List { model, provider } => {
                    return page(connection, model.as_deref(), provider.as_deref(), None).await;
                }
                Asked::Set(body) => (Method::POST, "/admin/v1/prices".to_owned(), Some(body)),
                Asked::End(id) => (Method::DELETE, format!("/admin/v1/prices/{}", segment(&id)), None),
                Asked::Rerate(body) => (Method::POST, "/admin/v1/prices/rerate".to_owned(), Some(body)),
            };
            remote.call(method, &path, body.as_ref()).await.and_then(|text| parse(&text))
        }
        Connection::Local(local) => on_database(local, request).await,
    }
}

/// All prices as one list.
async fn every_page(
    connection: &Connection,
    model: Option<&str>,
    provider: Option<&str>,
) -> Result<Value, (u8, String)> {
    let mut all = page(connection, model, provider, None).await?;
    while let Some(cursor) = all["next_cursor"].as_str().map(ToOwned::to_owned) {
        let mut more = page(connection, model, provider, Some(&cursor)).await?;
        if let (Some(all), Some(more)) = (all["data"].as_array_mut(), more["data"].as_array_mut()) {
            all.append(more);
        }
        all["next_cursor"] = more["next_cursor"].take();
    }
    all["has_more"] = Value::Bool(false);
    Ok(all)
}

async fn page(
    connection: &Connection,
    model: Option<&str>,
    provider: Option<&str>,
    cursor: Option<&str>,
) -> Result<Value, (u8, String)> {
    match connection {
        Connection::Remote(remote) => {
            let given = [("model", model), ("provider", provider), ("cursor", cursor)];
            let query: String =
                given.iter().filter_map(|(name, value)| Some(format!("&{name}={}", segment((*value)?)))).collect();
            let text = remote.call(Method::GET, &format!("/admin/v1/prices?limit={PAGE}{query}"), None).await?;
            parse(&text)
        }
        Connection::Local(local) => {
            let filter = ListFilter { provider, model };
            manage::list(&local.db, local.clock.unix_ms(), &filter, cursor, PAGE).await.map_err(|e| refused(&e))
        }
    }
}

async fn on_database(local: &Local, request: Asked) -> Result<Value, (u8, String)> {
    let now = local.clock.unix_ms();
    let book = book(local).await?;
    let author = Author { by: "command_line", book: &book, chance: &local.chance, now };
    let answer = match request {
        Asked::List { model, provider } => {
            let filter = ListFilter { provider: provider.as_deref(), model: model.as_deref() };
            manage::list(&local.db, now, &filter, None, PAGE).await
        }
        Asked::Set(body) => {
            let body = serde_json::from_value(body).map_err(|e| (BAD_USAGE, e.to_string()))?;
            manage::create(&local.db, author, body).await
        }
        Asked::End(id) => manage::end(&local.db, author, &id).await,
        Asked::Rerate(body) => {
            let body = serde_json::from_value(body).map_err(|e| (BAD_USAGE, e.to_string()))?;
            let run = format!("rerate_{}", local.chance.uuid(now).simple());
            rerate::rerate(&local.db, &book, now, run, body).await
        }
    };
    answer.map_err(|error| refused(&error))
}

/// The configuration's prices and the database's.
async fn book(local: &Local) -> Result<Book, (u8, String)> {
    read_book(&local.db, &local.own).await.map_err(|error| (FAILED, error.to_string()))
}

fn refused(error: &ApiError) -> (u8, String) {
    (exit_code(error.status), error.message.clone())
}

fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn parse(text: &str) -> Result<Value, (u8, String)> {
    serde_json::from_str(text).map_err(|e| (FAILED, format!("the gateway's answer is not JSON: {e}")))
}

fn print(command: &PricesCommand, answer: &Value, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{answer:#}");
    }
    match command {
        PricesCommand::List { .. } => {
            let rows: Vec<_> = answer["data"].as_array().into_iter().flatten().map(row).collect();
            table::write(out, &["id", "model", "version", "status", "from", "prices", "note"], &rows)
        }
        PricesCommand::Rerate(_) => print_rerating(answer, out),
        _ => details(answer, out),
    }
}

fn row(price: &Value) -> Vec<String> {
    let text = |name: &str| price[name].as_str().unwrap_or("-").to_owned();
    let prices: Vec<String> = price["prices"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, price)| format!("{name}={}", price.as_str().unwrap_or("..")))
        .collect();
    let prices = if price["prices"].is_null() { "none: handed back".to_owned() } else { prices.join(" ") };
    vec![text("id"), text("model"), text("version"), text("status"), text("effective_from"), prices, text("note")]
}

fn details(price: &Value, out: &mut dyn Write) -> io::Result<()> {
    for (name, value) in price.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        writeln!(out, "{name:<14} {value}")?;
    }
    Ok(())
}

fn print_rerating(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let text = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
    let dry = answer["dry_run"] == true;
    let verb = if dry { "would change" } else { "changed" };
    writeln!(out, "{} of {} rows {verb}, by {} USD", answer["changed"], answer["rows"], text("difference_usd"))?;
    for (why, count) in answer["skipped"].as_object().into_iter().flatten() {
        writeln!(out, "left as they are, {}: {count}", why.replace('_', " "))?;
    }
    let models = answer["models"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = models
        .map(|model| {
            let text = |name: &str| model[name].as_str().map_or_else(|| model[name].to_string(), ToOwned::to_owned);
            vec![text("model"), text("changed"), text("difference_usd")]
        })
        .collect();
    if !rows.is_empty() {
        table::write(out, &["model", "rows", "difference"], &rows)?;
    }
    match dry {
        true => writeln!(out, "nothing was changed; --apply does it"),
        false => writeln!(out, "run {}: the old ratings are in table usage_ratings", text("id")),
    }
}
