//! `weir prices show MODEL`: the price in force, its version and source, what was and what will be.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::every_page;
use crate::catalog::{Catalog, Model, nearest};
use crate::cli::connect::ConnectArgs;
use crate::cli::{FAILED, load, table};
use crate::clock::{Clock, UnixMs};
use crate::config::{Config, PriceSheet};
use crate::price::{Place, Prices};
use crate::record::{moment, rfc3339};
use crate::snapshot::build::Env;
use crate::snapshot::prices::{own, place, version};

/// Shows what there is, of each provider the price in force first. Answers the exit code.
pub(super) async fn run(
    model: &str,
    as_json: bool,
    connect: ConnectArgs,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let remote = connect.url.is_some();
    let config = match load(connect.config.clone(), env, err) {
        Ok(config) => config,
        Err(code) => return code,
    };
    // A gateway elsewhere has a configuration of its own, which it does not tell.
    let config = if remote { Config { prices: Default::default(), ..config } } else { config };
    let stored = if remote || is_there(&config) { stored(model, connect, env, err).await } else { Vec::new() };
    let found = find(model, &config, env, stored, Clock::system().unix_ms());
    if found.is_empty() {
        let _ = writeln!(err, "weir: no price is known for '{model}'{}", hint(model));
        return FAILED;
    }
    let written = match as_json {
        true => writeln!(out, "{:#}", Value::Array(found)),
        false => found.iter().try_for_each(|entry| print(entry, out)),
    };
    written.map_or(FAILED, |()| 0)
}

/// Whether there is a database to ask: showing a price makes none.
fn is_there(config: &Config) -> bool {
    let url = config.database.url.expose_secret();
    url.strip_prefix("sqlite://").is_none_or(|file| Path::new(file).exists())
}

/// The database's prices; without them the others are shown all the same.
async fn stored(
    model: &str,
    connect: ConnectArgs,
    env: &dyn Fn(&str) -> Option<String>,
    err: &mut dyn Write,
) -> Vec<Value> {
    let Ok(connection) = connect.connect(env, err).await else { return Vec::new() };
    match every_page(&connection, Some(model), None).await {
        Ok(page) => page["data"].as_array().cloned().unwrap_or_default(),
        Err((_, why)) => {
            let _ = writeln!(err, "weir: the prices of the database are not shown: {why}");
            Vec::new()
        }
    }
}

fn hint(model: &str) -> String {
    let catalog = Catalog::embedded();
    let names: Vec<String> = match model.split_once('/') {
        Some((provider, _)) if catalog.provider(provider).is_some() => {
            catalog.models_of(provider).map(|row| format!("{provider}/{}", row.id)).collect()
        }
        _ => catalog.providers().iter().flat_map(|p| catalog.models_of(&p.id)).map(|row| row.id.to_owned()).collect(),
    };
    nearest(model, names.iter().map(String::as_str), 1)
        .first()
        .map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

/// Every price of the model, by `provider/model`: the database's, the configuration's, the catalogue's,
/// each source with the newest first.
fn find(model: &str, config: &Config, env: Env<'_>, stored: Vec<Value>, now: UnixMs) -> Vec<Value> {
    let mut entries: Vec<Value> = stored.into_iter().rev().map(of_database).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(moment(entry["effective_from"].as_str().unwrap_or_default())));
    let mut own: Vec<Value> = Vec::new();
    for (name, history) in config.prices.iter().filter(|(name, _)| is_of(name, model)) {
        own.extend(history.0.iter().map(|sheet| of_config(name, sheet)));
    }
    own.sort_by_key(|entry| std::cmp::Reverse(entry["effective_from"].as_str().and_then(moment)));
    entries.extend(own);
    entries.extend(catalogued(model, config, env));
    let names: BTreeSet<String> =
        entries.iter().map(|entry| entry["model"].as_str().unwrap_or_default().to_owned()).collect();
    for name in &names {
        tell_status(entries.iter_mut().filter(|entry| entry["model"] == *name), now);
    }
    // In force first, and then as they were found; the names in their order.
    entries.sort_by_key(|entry| (entry["model"].to_string(), entry["status"] != "in_force"));
    entries
}

fn is_of(name: &str, model: &str) -> bool {
    name == model || name.split_once('/').is_some_and(|(_, own)| own == model)
}

/// Of several sources the first that holds is in force.
fn tell_status<'e>(entries: impl Iterator<Item = &'e mut Value>, now: UnixMs) {
    let mut settled = false;
    for entry in entries {
        let begun = entry["effective_from"].as_str().is_none_or(|from| moment(from).is_none_or(|from| from <= now));
        let gone = matches!(entry["status"].as_str(), Some("superseded" | "withdrawn"));
        // Without prices it hands back to the next source; with that, its own are at an end.
        let ends = entry["prices"].as_array().is_some_and(Vec::is_empty);
        let status = match (gone, begun) {
            (true, _) => continue,
            (false, false) => "scheduled",
            (false, true) if settled => "superseded",
            (false, true) if ends => "handed_back",
            (false, true) => "in_force",
        };
        settled |= status == "in_force";
        entry["status"] = status.into();
    }
}

fn of_database(mut price: Value) -> Value {
    let own = price["prices"].take();
    let prices = if own.is_null() { Vec::new() } else { Prices::described(&own) };
    price["prices"] = prices.into();
    price["source"] = "database".into();
    price
}

fn of_config(name: &str, sheet: &PriceSheet) -> Value {
    let own = own(sheet);
    json!({
        "model": name,
        "version": version(sheet, &own),
        "source": "config",
        "effective_from": sheet.effective_from.map(|at| rfc3339(at.as_millisecond())),
        "prices": Prices::described(&own),
    })
}

/// Of the named provider, or of all that have the model.
fn catalogued(model: &str, config: &Config, env: Env<'_>) -> Vec<Value> {
    let catalog = Catalog::embedded();
    let own = model.split_once('/').and_then(|(provider, id)| {
        let entry = config.providers.get(provider).cloned().unwrap_or_default();
        let place = place(provider, &entry, env);
        let found = catalog.find(&place.kind, id, place.region.as_deref())?.parse()?;
        Some((found, place))
    });
    let of = |provider: &str, model: &Model| entry(&format!("{provider}/{}", model.id), model, &Place::default());
    match own {
        // By its own name, although the catalogue may know only its family.
        Some((found, place)) => vec![entry(model, &found, &place)],
        None => {
            catalog.providers_with(model).into_iter().filter_map(|p| Some(of(p, &catalog.model(p, model)?))).collect()
        }
    }
}

fn entry(name: &str, model: &Model, place: &Place) -> Value {
    let factor = place.factor.and_then(|name| model.multipliers.get(name).map(|by| json!({"name": name, "by": by})));
    let prices: Vec<Value> = model
        .prices
        .iter()
        .map(|p| json!({"tier": p.tier, "above_input_tokens": p.above, "per_mtok_usd": p.mtok, "per_unit_usd": p.unit}))
        .collect();
    json!({
        "model": name,
        "version": catalogued_at(model, place).map(|prices| prices.version().to_owned()),
        "region": model.region,
        "factor": factor,
        "source": model.source,
        "catalog": Catalog::embedded().version(),
        "prices": prices,
    })
}

fn catalogued_at(model: &Model, place: &Place) -> Option<Prices> {
    let prices = Prices::from_model(model)?;
    Some(place.factor.and_then(|factor| prices.multiplied(factor)).unwrap_or(prices))
}

fn print(entry: &Value, out: &mut dyn Write) -> io::Result<()> {
    let text = |key: &str| entry[key].as_str().unwrap_or("-");
    let status = text("status").replace('_', " ");
    write!(out, "{}  version {}  source {}  {status}", text("model"), text("version"), text("source"))?;
    if let Some(from) = entry["effective_from"].as_str() {
        write!(out, "  from {from}")?;
    }
    if let Some(note) = entry["note"].as_str() {
        write!(out, "  ({note})")?;
    }
    if let Some(region) = entry["region"].as_str() {
        write!(out, "  of region {region}")?;
    }
    if let (Some(name), Some(by)) = (entry["factor"]["name"].as_str(), entry["factor"]["by"].as_str()) {
        write!(out, "  each price per token times {by} ({name})")?;
    }
    writeln!(out)?;
    let mut rows = Vec::new();
    for price in entry["prices"].as_array().into_iter().flatten() {
        for (group, unit) in [("per_mtok_usd", "1M tokens"), ("per_unit_usd", "unit")] {
            for (name, amount) in price[group].as_object().into_iter().flatten() {
                let above = price["above_input_tokens"]
                    .as_u64()
                    .filter(|n| *n > 0)
                    .map_or_else(|| "-".to_owned(), |n| n.to_string());
                rows.push(vec![
                    price["tier"].as_str().unwrap_or("-").to_owned(),
                    above,
                    name.clone(),
                    amount.as_str().unwrap_or("-").to_owned(),
                    unit.to_owned(),
                ]);
            }
        }
    }
    if !rows.is_empty() {
        table::write(out, &["tier", "above", "component", "usd", "per"], &rows)?;
    }
    writeln!(out)
}
