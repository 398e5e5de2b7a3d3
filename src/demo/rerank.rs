//! `demo/rerank`: documents by how many of the query's words they share.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::{error, whole};
use crate::upstream::Answer;

/// Answers a rerank request in Cohere's form.
pub(super) fn answer(request: &Value) -> Answer {
    let refused = |message| error(StatusCode::BAD_REQUEST, "invalid_type", message);
    let Some(query) = request["query"].as_str() else { return refused("query must be a string") };
    let documents: Option<Vec<&str>> =
        request["documents"].as_array().and_then(|all| all.iter().map(Value::as_str).collect());
    let Some(documents) = documents else { return refused("documents must be an array of strings") };
    let query = words(query);
    let mut ranked: Vec<(usize, f64)> =
        documents.iter().map(|document| score(&query, &words(document))).enumerate().collect();
    // Stable: of equals the first comes first.
    ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let most = request["top_n"].as_u64().and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
    let results: Vec<Value> =
        ranked.iter().take(most).map(|(index, score)| json!({"index": index, "relevance_score": score})).collect();
    let units = documents.len().div_ceil(100);
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": units}});
    whole(StatusCode::OK, &json!({"id": "demo-rerank", "results": results, "meta": meta}))
}

fn words(text: &str) -> BTreeSet<String> {
    let word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect()
}

/// The shared words' part of all words of both, from 0 to 1.
fn score(query: &BTreeSet<String>, document: &BTreeSet<String>) -> f64 {
    let all = query.union(document).count();
    let shared = query.intersection(document).count();
    let exact = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if all == 0 { 0.0 } else { exact(shared) / exact(all) }
}
