//! The model table: one line per model and region, `provider TAB id TAB region TAB json`, sorted by
//! bytes so that a reader can binary-search it without parsing.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The generated table and its version.
pub(super) struct Generated {
    pub(super) table: String,
    /// `<date of the sources>-<first eight hex digits of the table's SHA-256>`.
    pub(super) version: String,
}

/// Makes the table from the text of `models.json`.
pub(super) fn generate(source: &str) -> Result<Generated, String> {
    let source: Value = serde_json::from_str(source).map_err(|e| format!("models.json: {e}"))?;
    let models = source["models"].as_array().ok_or("models.json: no array `models`")?;
    let mut lines = models.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    lines.sort_unstable();
    if let Some(twice) = lines.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
        return Err(format!("models.json: two rows for {:?}", key(&twice[0])));
    }
    let table = lines.join("\n") + "\n";
    let date = source["meta"]["generated"].as_str().ok_or("models.json: no meta.generated")?;
    let version = format!("{date}-{}\n", short_hash(&table));
    Ok(Generated { table, version })
}

fn key(line: &str) -> Vec<&str> {
    line.splitn(4, '\t').take(3).collect()
}

fn line(model: &Value) -> Result<String, String> {
    let text = |name: &str| model[name].as_str().unwrap_or_default();
    let (provider, id, region) = (text("provider"), text("id"), text("region"));
    if provider.is_empty() || id.is_empty() || format!("{provider}{id}{region}").contains(['\t', '\n']) {
        return Err(format!("models.json: bad key in {model}"));
    }
    let mut row = Map::new();
    let pairs = [
        ("mode", "mode"),
        ("context_window", "context_window"),
        ("max_input", "max_input_tokens"),
        ("max_output", "max_output_tokens"),
        ("embedding_dims", "embedding_dims"),
        ("input", "input_modalities"),
        ("output", "output_modalities"),
        ("reasoning_efforts", "reasoning_efforts"),
        ("default_reasoning_effort", "default_reasoning_effort"),
        ("thinking_always_on", "thinking_always_on"),
        ("reasoning_field", "reasoning_field"),
        ("tokenizer", "tokenizer"),
        ("deprecation", "deprecation_date"),
        ("status", "status"),
        ("off_peak", "off_peak"),
        ("multipliers", "price_multipliers"),
    ];
    for (ours, theirs) in pairs {
        keep(&mut row, ours, &model[theirs]);
    }
    if responses_only(model) {
        row.insert("responses_only".to_owned(), json!(true));
    }
    keep(&mut row, "can", &capabilities(model, true));
    keep(&mut row, "cannot", &capabilities(model, false));
    keep(&mut row, "prices", &prices(model));
    if row.contains_key("prices") {
        row.insert("price_hash".to_owned(), json!(price_hash(&row)));
        keep(&mut row, "price_status", &model["price_check"]["status"]);
    }
    keep(&mut row, "source", &model["source"]["name"]);
    Ok(format!("{provider}\t{id}\t{region}\t{}", Value::Object(row)))
}

/// Sets what is known; null and empty mean unknown and take no space.
fn keep(row: &mut Map<String, Value>, name: &str, value: &Value) {
    let empty =
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    if !empty {
        row.insert(name.to_owned(), value.clone());
    }
}

/// Whether the Responses API alone serves the model: the source says so, or lists its endpoints and
/// names no chat among them.
fn responses_only(model: &Value) -> bool {
    let listed = |wanted: &str| {
        let mut endpoints = model["endpoints"].as_array().into_iter().flatten();
        endpoints.any(|endpoint| endpoint == wanted)
    };
    let unlisted = model["mode"] == "chat" && listed("/v1/responses") && !listed("/v1/chat/completions");
    model["responses_only"] == true || unlisted
}

fn capabilities(model: &Value, wanted: bool) -> Value {
    let known = model["capabilities"].as_object().into_iter().flatten();
    let mut names: Vec<&str> = known.filter(|(_, v)| v.as_bool() == Some(wanted)).map(|(k, _)| k.as_str()).collect();
    names.sort_unstable();
    json!(names)
}

fn prices(model: &Value) -> Value {
    let entries = model["prices"].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let mut row = Map::new();
            if entry["tier"] != "standard" {
                keep(&mut row, "tier", &entry["tier"]);
            }
            if entry["above_input_tokens"] != 0 {
                keep(&mut row, "above", &entry["above_input_tokens"]);
            }
            keep(&mut row, "mtok", &entry["per_mtok"]);
            keep(&mut row, "unit", &entry["per_unit"]);
            Value::Object(row)
        })
        .collect()
}

/// Changes exactly when something that is billed changes.
fn price_hash(row: &Map<String, Value>) -> String {
    let billed: Vec<_> = ["prices", "multipliers", "off_peak"].iter().map(|name| row.get(*name)).collect();
    short_hash(&json!(billed).to_string())
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_what_is_known_and_its_price() {
        let source = json!({
            "meta": {"generated": "2026-11-21"},
            "models": [
                {"provider": "b", "id": "y", "mode": "chat", "max_input_tokens": null,
                 "capabilities": {"tools": true, "pdf": false, "vision": true},
                 "prices": [{"tier": "standard", "above_input_tokens": 0, "per_mtok": {"input": "0.15"}},
                            {"tier": "batch", "above_input_tokens": 5, "per_unit": {"request": "1"}}],
                 "price_check": {"status": "agreed"}, "source": {"name": "s"}},
                {"provider": "a", "id": "z", "region": "eu", "mode": "chat"},
                {"provider": "c", "id": "x", "mode": "chat", "endpoints": ["/v1/responses", "/v1/batch"],
                 "reasoning_efforts": ["none", "high"], "default_reasoning_effort": "none",
                 "thinking_always_on": true, "reasoning_field": "reasoning_content"},
                {"provider": "c", "id": "y", "mode": "chat",
                 "endpoints": ["/v1/responses", "/v1/chat/completions"], "reasoning_efforts": []}
            ]
        });
        let made = generate(&source.to_string()).unwrap();
        let lines: Vec<_> = made.table.lines().collect();
        assert_eq!(lines[0], "a\tz\teu\t{\"mode\":\"chat\"}");
        let row: Value = serde_json::from_str(lines[1].rsplit_once('\t').unwrap().1).unwrap();
        assert_eq!(row["can"], json!(["tools", "vision"]));
        assert_eq!(row["cannot"], json!(["pdf"]));
        assert_eq!(
            row["prices"],
            json!([{"mtok": {"input": "0.15"}}, {"tier": "batch", "above": 5, "unit": {"request": "1"}}])
        );
        assert!(row.get("max_input").is_none());
        let row: Value = serde_json::from_str(lines[2].rsplit_once('\t').unwrap().1).unwrap();
        assert_eq!((&row["responses_only"], &row["thinking_always_on"]), (&json!(true), &json!(true)));
        assert_eq!(
            (&row["reasoning_efforts"], &row["reasoning_field"]),
            (&json!(["none", "high"]), &json!("reasoning_content"))
        );
        assert_eq!(row["default_reasoning_effort"], "none");
        assert_eq!(lines[3], "c\ty\t\t{\"mode\":\"chat\"}");
        assert!(made.version.starts_with("2026-11-21-"));
    }

    #[test]
    fn two_rows_for_one_key_are_refused() {
        let row = json!({"provider": "a", "id": "z", "mode": "chat"});
        let source = json!({"meta": {"generated": "2026-11-21"}, "models": [row, row]});
        assert!(generate(&source.to_string()).is_err_and(|e| e.contains("two rows")));
    }
}
