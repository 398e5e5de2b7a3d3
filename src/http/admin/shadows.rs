//! `/admin/v1/shadows`: how copies of requests differ from those.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::page_limit;
use crate::admin::keys::store_error;
use crate::error::ApiError;
use crate::http::generate::json as json_response;
use crate::http::openai::usage::ask::time;
use crate::http::query::Params;
use crate::money::NanoUsd;
use crate::record::rfc3339;
use crate::state::{Gateway, Shared};
use crate::store::shadows::{self, Cursor, Filter, Shadow, Sum};

/// `GET /admin/v1/shadows`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["route", "from", "to", "limit", "cursor"])?;
    let limit = params.parsed("limit", page_limit)?.unwrap_or(100);
    let cursor = params.parsed("cursor", |v| {
        v.parse::<Cursor>().map_err(|_| "is not a cursor: pass next_cursor of the page before, unchanged".to_owned())
    })?;
    let filter = filter(&gateway, &params)?;
    let mut rows = shadows::list(&gateway.db, &filter, cursor.as_ref(), limit + 1).await.map_err(store_error)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| Cursor::after(last).to_string());
    let data: Vec<Value> = rows.iter().map(described).collect();
    let answer = json!({"object": "list", "data": data, "has_more": more, "next_cursor": next});
    Ok(json_response(answer.to_string()))
}

/// `GET /admin/v1/shadows/summary`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn summary(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["route", "from", "to"])?;
    let filter = filter(&gateway, &params)?;
    let sums = shadows::summary(&gateway.db, &filter).await.map_err(store_error)?;
    let data: Vec<Value> = sums.iter().map(summed).collect();
    let answer = json!({"object": "list", "data": data, "has_more": false, "next_cursor": null});
    Ok(json_response(answer.to_string()))
}

fn filter(gateway: &Gateway, params: &Params) -> Result<Filter, ApiError> {
    let now = gateway.clock().unix_ms();
    Ok(Filter {
        from: params.parsed("from", |text| time(text, now))?.unwrap_or(0),
        to: params.parsed("to", |text| time(text, now))?.unwrap_or(i64::MAX),
        route: params.get("route").unwrap_or_default().to_owned(),
    })
}

fn described(shadow: &Shadow) -> Value {
    let truth = |value: Option<i64>| value.map(|value| value != 0);
    let side = |id: &str, target: &str, status: &str, error: Option<&str>| json!({"request_id": id, "target": target, "status": status, "error_code": error});
    let mut original = side(&shadow.request_id, &shadow.target, &shadow.status, shadow.error_code.as_deref());
    let mut copy = side(&shadow.id, &shadow.shadow_target, &shadow.shadow_status, shadow.shadow_error_code.as_deref());
    let figures = [
        ("ttft_ms", json!(shadow.ttft_ms), json!(shadow.shadow_ttft_ms)),
        ("latency_ms", json!(shadow.latency_ms), json!(shadow.shadow_latency_ms)),
        ("input_tokens", json!(shadow.input_tokens), json!(shadow.shadow_input_tokens)),
        ("output_tokens", json!(shadow.output_tokens), json!(shadow.shadow_output_tokens)),
        ("cost_usd", json!(shadow.cost_nano.map(NanoUsd)), json!(shadow.shadow_cost_nano.map(NanoUsd))),
        ("finish", words(&shadow.finish), words(&shadow.shadow_finish)),
        ("text_bytes", json!(shadow.text_bytes), json!(shadow.shadow_text_bytes)),
        ("tool_calls", json!(shadow.tool_calls), json!(shadow.shadow_tool_calls)),
    ];
    for (name, of_original, of_copy) in figures {
        original[name] = of_original;
        copy[name] = of_copy;
    }
    json!({
        "object": "shadow",
        "id": shadow.id,
        "at": rfc3339(shadow.at),
        "route": shadow.route,
        "endpoint": shadow.endpoint,
        "stream": shadow.stream,
        "billed": shadow.billed,
        "original": original,
        "shadow": copy,
        "text_equal": truth(shadow.text_equal),
        "similarity": shadow.similarity.map(share),
        "tools_equal": truth(shadow.tools_equal),
    })
}

fn words(list: &str) -> Value {
    list.split(',').filter(|word| !word.is_empty()).collect()
}

/// Thousandths as a share.
fn share(thousandths: i64) -> f64 {
    ratio(thousandths, 1000).unwrap_or(0.0)
}

/// Rounded to thousandths; nothing of nothing.
#[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand rows of a thousand")]
fn ratio(part: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| (part as f64 * 1000.0 / of as f64).round() / 1000.0)
}

fn summed(sum: &Sum) -> Value {
    let both = sum.both.clone().unwrap_or_default();
    let known = |value: i64| sum.both.as_ref().map(|_| value);
    json!({
        "object": "shadow.summary",
        "route": sum.route,
        "target": sum.shadow_target,
        "pairs": sum.pairs,
        "first_at": rfc3339(sum.first_at),
        "last_at": rfc3339(sum.last_at),
        "compared": sum.compared,
        "text_equal": ratio(sum.equal, sum.compared),
        "similarity": ratio(sum.similarity, sum.measured.saturating_mul(1000)),
        "tools_compared": sum.tools_compared,
        "tools_equal": ratio(sum.tools_equal, sum.tools_compared),
        "both_ok": both.pairs,
        "original": {
            "failures": sum.failures,
            "cost_usd": NanoUsd(sum.cost_nano),
            "of_both_ok": {
                "cost_usd": NanoUsd(both.cost_nano),
                "input_tokens": both.input_tokens,
                "output_tokens": both.output_tokens,
                "latency_ms": {"p50": known(both.latency_p50), "p95": known(both.latency_p95)},
                "ttft_ms": {"p50": known(both.ttft_p50), "p95": known(both.ttft_p95)},
            },
        },
        "shadow": {
            "failures": sum.shadow_failures,
            "cost_usd": NanoUsd(sum.shadow_cost_nano),
            "of_both_ok": {
                "cost_usd": NanoUsd(both.shadow_cost_nano),
                "input_tokens": both.shadow_input_tokens,
                "output_tokens": both.shadow_output_tokens,
                "latency_ms": {"p50": known(both.shadow_latency_p50), "p95": known(both.shadow_latency_p95)},
                "ttft_ms": {"p50": known(both.shadow_ttft_p50), "p95": known(both.shadow_ttft_p95)},
            },
        },
    })
}
