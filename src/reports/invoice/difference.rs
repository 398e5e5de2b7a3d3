//! An invoice beside the ledger, by day and model.
//!
//! A difference is the provider's number less Weir's; a percentage is of Weir's. Days are UTC's. Models are
//! paired by name: what stands behind the name that was asked for, in lower case, without a date at its end
//! (`-2026-08-06`, `-20260806`), for one side may name a snapshot and the other its family.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{day_text, describe};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::reports::models::behind;
use crate::snapshot::Snapshot;
use crate::store::invoices::{self, Invoice, LineSums};
use crate::store::usage::{Filter, GroupBy, Total, totals};
use crate::store::{Db, StoreError};

const DAY: UnixMs = 86_400_000;
/// Most days and models that are listed; the totals are of all.
const MAX_LISTED: usize = 10_000;

/// What one side says of a day and a model, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Side {
    names: BTreeSet<String>,
    /// In the order of [`COUNTS`].
    counts: [i64; COUNTS.len()],
    cost: i64,
}

const COUNTS: [&str; 6] =
    ["requests", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "web_searches"];
const REQUESTS: usize = 0;

#[derive(Clone, Debug, Default)]
struct Pair {
    theirs: Option<Side>,
    ours: Option<Side>,
}

/// What an invoice speaks of at all: what it does not is not compared.
#[derive(Clone, Copy, Debug)]
struct Speaks {
    tokens: bool,
    requests: bool,
    cost: bool,
}

type Pairs = BTreeMap<(String, String), Pair>;

/// The difference of an invoice; `None` when there is no such invoice.
///
/// # Errors
/// As any call to the store.
pub async fn difference(db: &Db, snapshot: &Snapshot, id: &str) -> Result<Option<Value>, StoreError> {
    let Some(invoice) = invoices::find(db, id).await? else { return Ok(None) };
    let theirs = invoices::lines(db, id).await?;
    let filter = Filter {
        from: Some(invoice.first_day),
        to: Some(invoice.last_day.saturating_add(DAY)),
        provider: Some(invoice.provider.clone()),
        ..Filter::default()
    };
    let ours = totals(db, &filter, &[GroupBy::Day, GroupBy::Model]).await?;
    Ok(Some(compare(&invoice, &theirs, &ours, &|asked| served(snapshot, &invoice.provider, asked))))
}

/// The provider's name of a model that was asked for, as far as the configuration knows it.
fn served(snapshot: &Snapshot, provider: &str, asked: &str) -> String {
    if let Some(target) = behind(snapshot, provider, asked) {
        return target.model.to_string();
    }
    let bare = asked.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
    bare.unwrap_or(asked).to_owned()
}

fn compare(invoice: &Invoice, theirs: &[LineSums], ours: &[Total], served: &dyn Fn(&str) -> String) -> Value {
    let mut pairs = Pairs::new();
    for line in theirs {
        let pair = pairs.entry((day_text(line.day), normal(&line.model))).or_default();
        pair.theirs.get_or_insert_default().add(&Side::of_line(line));
    }
    for total in ours {
        let [day, asked] = [0, 1].map(|i| total.group.get(i).cloned().flatten().unwrap_or_default());
        let model = served(&asked);
        let pair = pairs.entry((day, normal(&model))).or_default();
        pair.ours.get_or_insert_default().add(&Side::of_total(total, model));
    }
    let speaks = Speaks {
        tokens: invoice.has_tokens,
        requests: theirs.iter().any(|line| line.requests > 0),
        cost: invoice.has_cost,
    };
    let listed: Vec<Value> =
        pairs.iter().take(MAX_LISTED).map(|((day, model), pair)| entry(day, model, pair, speaks)).collect();
    json!({
        "object": "invoice.difference",
        "invoice": describe(invoice),
        "totals": totals_of(&pairs, speaks),
        "data": listed,
        "truncated": pairs.len() > MAX_LISTED,
    })
}

fn entry(day: &str, model: &str, pair: &Pair, speaks: Speaks) -> Value {
    let side = match (&pair.theirs, &pair.ours) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "provider",
        _ => "weir",
    };
    let mut out = compared(pair, speaks);
    let names = |side: &Option<Side>| side.as_ref().map(|side| side.names.iter().cloned().collect::<Vec<_>>());
    out.insert("day".to_owned(), day.into());
    out.insert("model".to_owned(), Some(model).filter(|m| !m.is_empty()).into());
    out.insert("side".to_owned(), side.into());
    out.insert("provider_models".to_owned(), names(&pair.theirs).into());
    out.insert("weir_models".to_owned(), names(&pair.ours).into());
    Value::Object(out)
}

/// All of it, and what only one side has.
fn totals_of(pairs: &Pairs, speaks: Speaks) -> Value {
    let mut all = Pair { theirs: Some(Side::default()), ours: Some(Side::default()) };
    let (mut only_theirs, mut only_ours) = (Side::default(), Side::default());
    for pair in pairs.values() {
        let add = |sum: &mut Option<Side>, side: &Option<Side>| {
            if let (Some(sum), Some(side)) = (sum, side) {
                sum.add(side);
            }
        };
        add(&mut all.theirs, &pair.theirs);
        add(&mut all.ours, &pair.ours);
        match pair {
            Pair { theirs: Some(side), ours: None } => only_theirs.add(side),
            Pair { theirs: None, ours: Some(side) } => only_ours.add(side),
            _ => {}
        }
    }
    let mut out = compared(&all, speaks);
    out.insert("only_provider".to_owned(), only_theirs.told(speaks));
    out.insert("only_weir".to_owned(), only_ours.told(speaks));
    Value::Object(out)
}

fn compared(pair: &Pair, speaks: Speaks) -> Map<String, Value> {
    let told = |side: &Option<Side>| side.as_ref().map_or(Value::Null, |side| side.told(speaks));
    let none = Side::default();
    let (theirs, ours) = (pair.theirs.as_ref().unwrap_or(&none), pair.ours.as_ref().unwrap_or(&none));
    let mut difference = Map::new();
    for (i, name) in COUNTS.iter().enumerate().filter(|(i, _)| speaks.of(*i)) {
        let by = theirs.counts[i].saturating_sub(ours.counts[i]);
        difference.insert((*name).to_owned(), by.into());
        difference.insert(format!("{name}_percent"), percent(by, ours.counts[i]));
    }
    if speaks.cost {
        let by = theirs.cost.saturating_sub(ours.cost);
        difference.insert("cost_usd".to_owned(), NanoUsd(by).to_string().into());
        difference.insert("cost_percent".to_owned(), percent(by, ours.cost));
    }
    let members = [("provider", told(&pair.theirs)), ("weir", told(&pair.ours)), ("difference", difference.into())];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Speaks {
    fn of(self, count: usize) -> bool {
        if count == REQUESTS { self.requests } else { self.tokens }
    }
}

impl Side {
    fn of_line(line: &LineSums) -> Self {
        let counts = [
            line.requests,
            line.input_tokens,
            line.cached_tokens,
            line.cache_write_tokens,
            line.output_tokens,
            line.web_searches,
        ];
        Self { names: BTreeSet::from([line.model.clone()]), counts, cost: line.cost_nano }
    }

    fn of_total(total: &Total, model: String) -> Self {
        let usage = &total.sums.usage;
        let counts =
            [total.sums.requests, usage.input, usage.cached, usage.cache_write, usage.output, usage.web_searches];
        let counts = counts.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        Self { names: BTreeSet::from([model]), counts, cost: total.sums.cost.0 }
    }

    fn add(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, n)| *sum = sum.saturating_add(n));
        self.cost = self.cost.saturating_add(other.cost);
    }

    fn told(&self, speaks: Speaks) -> Value {
        let counts = COUNTS.iter().zip(self.counts).enumerate().filter(|(i, _)| speaks.of(*i));
        let mut out: Map<String, Value> = counts.map(|(_, (name, n))| ((*name).to_owned(), n.into())).collect();
        if speaks.cost {
            out.insert("cost_usd".to_owned(), NanoUsd(self.cost).to_string().into());
        }
        out.into()
    }
}

/// Hundredths of a percent, rounded towards zero, as text; null where there is nothing to compare with.
fn percent(by: i64, of: i64) -> Value {
    if of == 0 {
        return Value::Null;
    }
    let hundredths = i128::from(by) * 10_000 / i128::from(of);
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100).into()
}

/// A model's name as it is paired.
fn normal(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let number = |word: &str, len: usize| word.len() == len && word.bytes().all(|b| b.is_ascii_digit());
    let kept = match words.as_slice() {
        [kept @ .., year, month, day] if number(year, 4) && number(month, 2) && number(day, 2) => kept,
        [kept @ .., date] if number(date, 8) && date.starts_with("20") => kept,
        [kept @ .., "latest"] => kept,
        all => all,
    };
    if kept.is_empty() { words.join("-") } else { kept.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::usage::Sums;

    #[test]
    fn names_are_paired_without_their_dates() {
        for (name, expected) in [
            ("Model One", "model-one"),
            ("model-4.1-2025-04-14", "model-4-1"),
            ("model-3-5-20241022", "model-3-5"),
            ("model-latest", "model"),
            ("2026-01-01", "2026-01-01"),
            ("", ""),
        ] {
            assert_eq!(normal(name), expected);
        }
    }

    #[test]
    fn percentages_are_of_the_ledgers() {
        assert_eq!(percent(1, 3), "33.33");
        assert_eq!(percent(-1, 3), "-33.33");
        assert_eq!(percent(1, 0), Value::Null);
        assert_eq!(percent(i64::MAX, 1).as_str().map(str::len), Some(24));
    }

    fn invoice() -> Invoice {
        Invoice {
            id: "inv".into(),
            provider: "up".into(),
            format: "openai".into(),
            content_hash: String::new(),
            imported_at: 0,
            first_day: 0,
            last_day: DAY,
            line_count: 2,
            has_tokens: true,
            has_cost: false,
            cost_nano: 0,
            unknown_columns: Vec::new().into(),
        }
    }

    #[test]
    fn each_side_is_told_and_what_only_one_has() {
        let line =
            |model: &str, input: i64| LineSums { model: model.into(), input_tokens: input, ..LineSums::default() };
        let total = |model: &str, input: u64| Total {
            group: vec![Some("1970-01-01".into()), Some(model.into())],
            sums: Sums { usage: weir_wire::usage::Usage { input, ..Default::default() }, ..Sums::default() },
        };
        let theirs = [line("m-2026-01-01", 110), line("theirs", 5)];
        let ours = [total("fast", 60), total("up/m", 40), total("ours", 7)];
        let served = |asked: &str| if asked == "ours" { asked.to_owned() } else { "m".to_owned() };
        let told = compare(&invoice(), &theirs, &ours, &served);
        let sides: Vec<_> = told["data"].as_array().unwrap().iter().map(|one| (&one["model"], &one["side"])).collect();
        assert_eq!(
            sides,
            [(&json!("m"), &json!("both")), (&json!("ours"), &json!("weir")), (&json!("theirs"), &json!("provider"))]
        );
        let both = &told["data"][0];
        assert_eq!((&both["provider"]["input_tokens"], &both["weir"]["input_tokens"]), (&json!(110), &json!(100)));
        assert_eq!(both["difference"]["input_tokens"], 10);
        assert_eq!(both["difference"]["input_tokens_percent"], "10.00");
        assert_eq!((both["difference"].get("cost_usd"), both["difference"].get("requests")), (None, None));
        assert_eq!((&told["data"][1]["provider"], &told["data"][2]["weir"]), (&Value::Null, &Value::Null));
        let totals = &told["totals"];
        assert_eq!(
            (&totals["difference"]["input_tokens"], &totals["only_weir"]["input_tokens"]),
            (&json!(8), &json!(7))
        );
        assert_eq!(totals["only_provider"]["input_tokens"], 5);
    }
}
