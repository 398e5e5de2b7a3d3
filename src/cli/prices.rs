//! `weir prices show MODEL`: the price entry in force, its version and source.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{FAILED, load, table};
use crate::catalog::{Catalog, nearest};
use crate::config::Config;
use crate::price::Prices;

/// Shows prices.
#[derive(Clone, Debug, clap::Args)]
pub struct PricesArgs {
    #[command(subcommand)]
    command: PricesCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum PricesCommand {
    /// The price in force for a model.
    Show {
        /// `provider/model`, or a model's own name: then every provider's price is shown.
        model: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The configuration, whose prices go before the catalogue's.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Runs `weir prices`. Answers the exit code.
pub fn run(args: &PricesArgs, env: &dyn Fn(&str) -> Option<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let PricesCommand::Show { model, json, config } = &args.command;
    let config = match load(config.clone(), env, err) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let found = find(model, &config);
    if found.is_empty() {
        let _ = writeln!(err, "weir: no price is known for '{model}'{}", hint(model));
        return FAILED;
    }
    let written = if *json {
        writeln!(out, "{:#}", Value::Array(found))
    } else {
        found.iter().try_for_each(|entry| print(entry, out))
    };
    written.map_or(FAILED, |()| 0)
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

/// The config's price, then the catalogue's: of the named provider, or of all that have the model.
fn find(model: &str, config: &Config) -> Vec<Value> {
    let catalog = Catalog::embedded();
    let own = model.split_once('/').and_then(|(provider, id)| {
        let kind = config.providers.get(provider).map_or(provider, |p| p.kind_of(provider));
        Some((provider.to_owned(), catalog.model(kind, id)?))
    });
    match own {
        Some((provider, model)) => vec![entry(&provider, &model)],
        None => catalog
            .providers_with(model)
            .into_iter()
            .filter_map(|p| Some(entry(p, &catalog.model(p, model)?)))
            .collect(),
    }
}

fn entry(provider: &str, model: &crate::catalog::Model) -> Value {
    let prices: Vec<Value> = model
        .prices
        .iter()
        .map(|p| json!({"tier": p.tier, "above_input_tokens": p.above, "per_mtok_usd": p.mtok, "per_unit_usd": p.unit}))
        .collect();
    json!({
        "model": format!("{provider}/{}", model.id),
        "version": Prices::from_model(model).map(|p| p.version().to_owned()),
        "source": model.source,
        "catalog": Catalog::embedded().version(),
        "prices": prices,
    })
}

fn print(entry: &Value, out: &mut dyn Write) -> io::Result<()> {
    let text = |key: &str| entry[key].as_str().unwrap_or("-");
    writeln!(out, "{}  version {}  source {}", text("model"), text("version"), text("source"))?;
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
    table::write(out, &["tier", "above", "component", "usd", "per"], &rows)?;
    writeln!(out)
}
