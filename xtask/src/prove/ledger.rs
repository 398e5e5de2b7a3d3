//! The ledger as its admin plane tells it: rows, totals, budgets, gauges.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::ask::{Id, id_number};
use super::tariff::{Nano, Tokens, model_named, nano};
use super::wire::{Wire, call, lines};
use crate::shell::Result;

/// The admin key of every gateway of a run.
pub(super) const ADMIN_KEY: &str = "admin-key-of-one-proof";

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its request, if it is one of ours.
    pub(super) id: Option<Id>,
    /// Its id as it stands there, where it is not one of ours.
    pub(super) name: String,
    /// When it came in: `2026-11-18T11:06:40.123Z`.
    pub(super) at: String,
    /// The virtual key.
    pub(super) key: Option<String>,
    /// The model as asked for.
    pub(super) model: String,
    /// How often an upstream was tried.
    pub(super) tries: usize,
    /// The model of the last try, if it is one of ours.
    pub(super) tried: Option<u8>,
    /// `ok`, `cancelled`, ...
    pub(super) status: String,
    /// What the client saw.
    pub(super) http_status: u16,
    /// What was used.
    pub(super) tokens: Tokens,
    /// What it cost; `None` if it has no price.
    pub(super) cost: Option<Nano>,
    /// Whether the gateway counted.
    pub(super) estimated: bool,
}

#[derive(Deserialize)]
struct RawRow {
    id: String,
    at: String,
    key_id: Option<String>,
    model: Option<String>,
    status: String,
    http_status: u16,
    attempts: Vec<RawAttempt>,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cost_usd: Option<String>,
    estimated: bool,
}

#[derive(Deserialize)]
struct RawAttempt {
    model: String,
}

impl Row {
    /// Reads a line of the NDJSON export.
    pub(super) fn read(line: &[u8]) -> Wire<Self> {
        let raw: RawRow = serde_json::from_slice(line)
            .map_err(|error| format!("a row of the ledger: {error}: {}", String::from_utf8_lossy(line)))?;
        let cost = raw.cost_usd.as_deref().map(nano).transpose().map_err(|error| error.to_string())?;
        let id = id_number(&raw.id);
        Ok(Self {
            name: if id.is_none() { raw.id } else { String::new() },
            id,
            at: raw.at,
            key: raw.key_id,
            model: raw.model.unwrap_or_default(),
            tries: raw.attempts.len(),
            tried: raw.attempts.last().and_then(|attempt| model_named(&attempt.model)),
            status: raw.status,
            http_status: raw.http_status,
            tokens: Tokens {
                input: raw.input_tokens,
                cached: raw.cached_tokens,
                output: raw.output_tokens,
                reasoning: raw.reasoning_tokens,
            },
            cost,
            estimated: raw.estimated,
        })
    }

    /// Its hour, as totals name it.
    pub(super) fn hour(&self) -> String {
        format!("{}:00:00Z", self.at.get(..13).unwrap_or_default())
    }

    /// Its day, as totals name it.
    pub(super) fn day(&self) -> String {
        self.at.get(..10).unwrap_or_default().to_owned()
    }
}

/// A group's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Rows.
    pub(super) requests: u64,
    /// Of them, all but `ok` and `cancelled`.
    pub(super) errors: u64,
    /// Prompt tokens.
    pub(super) input: u64,
    /// Generated tokens.
    pub(super) output: u64,
    /// Their cost.
    pub(super) cost: Nano,
}

impl Sums {
    /// Adds a row.
    pub(super) fn add(&mut self, row: &Row) {
        self.requests += 1;
        self.errors += u64::from(!matches!(row.status.as_str(), "ok" | "cancelled"));
        self.input += row.tokens.input;
        self.output += row.tokens.output;
        self.cost += row.cost.unwrap_or(0);
    }
}

/// Sums by the texts of their group.
pub(super) type Totals = BTreeMap<Vec<String>, Sums>;

/// A budget as the admin plane tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// What was spent.
    pub(super) spent: Nano,
    /// What is reserved.
    pub(super) reserved: Nano,
}

/// Reads a gateway's ledger over its admin plane.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// The gateway.
    pub(super) url: String,
}

impl Ledger {
    /// Every row; with `from`, those since that moment (RFC 3339).
    pub(super) async fn rows(&self, from: Option<&str>, mut each: impl FnMut(Row)) -> Result {
        let from = from.map(|from| format!("&from={from}")).unwrap_or_default();
        let path = format!("/admin/v1/usage?format=ndjson{from}");
        let take = |line: &[u8]| {
            each(Row::read(line)?);
            Ok(())
        };
        Ok(lines(&self.url, &path, ADMIN_KEY, take).await?)
    }

    /// Totals by these dimensions.
    pub(super) async fn totals(&self, by: &[&str]) -> Result<Totals> {
        let told = self.get(&format!("/admin/v1/usage?group_by={}", by.join(","))).await?;
        let groups = told["data"].as_array().ok_or("totals without data")?;
        groups.iter().map(|group| total(group, by)).collect()
    }

    /// The budget that the admin plane shows at `path`: with a key, or as one of its own.
    pub(super) async fn budget(&self, path: &str) -> Result<Budget> {
        let told = self.get(path).await?;
        let shown = if told["budget"].is_object() { &told["budget"] } else { &told["window"] };
        let amount = |name: &str| -> Result<Nano> {
            let text = shown[name].as_str();
            nano(text.ok_or_else(|| format!("{path} shows no {name} of a budget: {told}"))?)
        };
        Ok(Budget { spent: amount("spent_usd")?, reserved: amount("reserved_usd")? })
    }

    /// Makes a virtual key of this description; its id and its secret.
    pub(super) async fn create_key(&self, description: &Value) -> Result<(String, String)> {
        let told = self.send("POST", "/admin/v1/keys", description).await?;
        let text = |name: &str| told[name].as_str().map(ToOwned::to_owned).ok_or("a new key without its id or secret");
        Ok((text("id")?, text("key")?))
    }

    /// Posts something to the admin plane.
    pub(super) async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (status, text) = call(method, &self.url, path, Some(ADMIN_KEY), Some(&body.to_string())).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{method} {path} answered {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Asks the admin plane.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        let (status, text) = call("GET", &self.url, path, Some(ADMIN_KEY), None).await?;
        if status != 200 {
            return Err(format!("GET {path} answered {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// A metric's value: the sum over its series.
    pub(super) async fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = call("GET", &self.url, "/metrics", None, None).await?;
        let values = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

fn total(group: &Value, by: &[&str]) -> Result<(Vec<String>, Sums)> {
    let names = by.iter().map(|name| group[*name].as_str().unwrap_or_default().to_owned()).collect();
    let number = |name: &str| group[name].as_u64().ok_or_else(|| format!("a total without {name}: {group}"));
    let sums = Sums {
        requests: number("requests")?,
        errors: number("errors")?,
        input: number("input_tokens")?,
        output: number("output_tokens")?,
        cost: nano(group["cost_usd"].as_str().ok_or("a total without cost_usd")?)?,
    };
    Ok((names, sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_is_exported() {
        let line = br#"{"id":"proof-000000007","at":"2026-11-18T11:06:40.123Z","key_id":"k","model":"proof/beta","status":"ok",
            "http_status":200,"attempts":[{"model":"alpha"},{"model":"beta"}],"input_tokens":5,"cached_tokens":1,
            "output_tokens":2,"reasoning_tokens":0,"cost_usd":"0.000000012","estimated":false,"more":[]}"#;
        let row = Row::read(line).unwrap();
        let want = (Some(7), "2026-11-18T11:00:00Z".to_owned(), "2026-11-18".to_owned(), Some(1), Some(12));
        assert_eq!((row.id, row.hour(), row.day(), row.tried, row.cost), want);
        assert!(Row::read(b"{}").is_err());
    }

    #[test]
    fn a_total_is_read_by_its_dimensions() {
        let group = serde_json::json!({ "key": "k", "day": "2026-11-18", "requests": 2, "errors": 1, "input_tokens": 3,
            "output_tokens": 4, "cost_usd": "1.000000001" });
        let (names, sums) = total(&group, &["day", "key"]).unwrap();
        assert_eq!(names, ["2026-11-18", "k"]);
        assert_eq!((sums.requests, sums.errors, sums.cost), (2, 1, 1_000_000_001));
    }
}
