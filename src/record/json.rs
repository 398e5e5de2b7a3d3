//! A row as JSON, the same wherever one is shown. Money is a decimal string, time is RFC 3339.

use serde_json::{Map, Value, json};
use weir_wire::usage::Usage;

use super::{UsageRow, rfc3339};

/// A row as the interface describes it.
#[must_use]
pub fn row(row: &UsageRow) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("id", row.id.clone().into());
    put("at", rfc3339(row.at).into());
    put("key_id", row.key_id.clone().into());
    put("team_id", row.team_id.clone().into());
    put("user_id", row.user_id.clone().into());
    put("end_user", row.end_user.clone().into());
    put("tags", row.tags.iter().map(|(k, v)| (k.clone(), Value::from(v.clone()))).collect::<Map<_, _>>().into());
    put("endpoint", row.endpoint.clone().into());
    put("model", row.model.clone().into());
    put("provider", row.provider.clone().into());
    put("served_model", row.served_model.clone().into());
    put("status", row.status.as_str().into());
    put("http_status", row.http_status.into());
    put("attempts", json!(row.attempts));
    for (name, value) in main_classes(&row.usage) {
        put(name, value.into());
    }
    for (name, value) in other_classes(&row.usage).into_iter().filter(|(_, v)| *v > 0) {
        put(name, value.into());
    }
    put("cost_usd", row.cost.map(|c| c.to_string()).into());
    put("price_version", row.price_version.clone().into());
    put("estimated", row.estimated.into());
    put("unpriced", row.unpriced.into());
    put("latency_ms", row.latency_ms.into());
    put("ttft_ms", row.ttft_ms.into());
    put("overhead_us", row.overhead_us.into());
    put("stream", row.stream.into());
    put("error_code", row.error_code.clone().into());
    put("error_message", row.error_message.clone().into());
    put("metadata", row.metadata.as_deref().and_then(|m| serde_json::from_str(m).ok()).unwrap_or(Value::Null));
    put("warnings", json!(row.warnings));
    Value::Object(map)
}

/// The classes every row names.
#[must_use]
pub fn main_classes(usage: &Usage) -> [(&'static str, u64); 5] {
    [
        ("input_tokens", usage.input),
        ("cached_tokens", usage.cached),
        ("cache_write_tokens", usage.cache_write),
        ("output_tokens", usage.output),
        ("reasoning_tokens", usage.reasoning),
    ]
}

/// The classes a row names when there are any.
#[must_use]
pub fn other_classes(usage: &Usage) -> [(&'static str, u64); 13] {
    [
        ("cache_write_5m_tokens", usage.cache_write_5m),
        ("cache_write_1h_tokens", usage.cache_write_1h),
        ("cache_write_30m_tokens", usage.cache_write_30m),
        ("cache_write_12h_tokens", usage.cache_write_12h),
        ("audio_input_tokens", usage.audio_input),
        ("audio_output_tokens", usage.audio_output),
        ("image_input_tokens", usage.image_input),
        ("image_output_tokens", usage.image_output),
        ("audio_ms", usage.audio_ms),
        ("characters", usage.characters),
        ("web_searches", usage.web_searches),
        ("images", usage.images),
        ("search_units", usage.search_units),
    ]
}
