//! Models in Gemini's form (<https://ai.google.dev/api/models>).

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::query::Params;
use crate::snapshot::Route;

const DEFAULT_SIZE: usize = 50;
const MAX_SIZE: usize = 1000;
/// What can be asked of a model here.
const METHODS: [&str; 3] = ["generateContent", "streamGenerateContent", "countTokens"];

/// A page of models: `pageSize` of them (1000 at most, whatever is asked for) behind `pageToken`, the
/// last name of the page before.
///
/// # Errors
/// 400 for a page that cannot be.
pub(in crate::http) fn page(routes: &[&Route], query: Option<&str>) -> Result<Value, ApiError> {
    let params = Params::of_dialect(query, &["pageSize", "pageToken"])?;
    let size = params.parsed("pageSize", |text| text.parse::<u32>().map_err(|_| "must be a number".to_owned()))?;
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).unwrap_or(DEFAULT_SIZE);
    let start = params.parsed("pageToken", |token| {
        let found = routes.iter().position(|route| &*route.name == token);
        found.ok_or_else(|| "must be the nextPageToken of an earlier page".to_owned())
    })?;
    let rest = &routes[start.map_or(0, |at| at + 1)..];
    let page = &rest[..size.min(MAX_SIZE).min(rest.len())];
    let mut listed = json!({"models": page.iter().map(|route| describe(route)).collect::<Vec<_>>()});
    if let Some(last) = page.last().filter(|_| page.len() < rest.len()) {
        listed["nextPageToken"] = (*last.name).into();
    }
    Ok(listed)
}

/// One model; its limits where they are known.
pub(in crate::http) fn describe(route: &Route) -> Value {
    let info = route.targets[0].info.as_deref();
    let mut model = json!({
        "name": format!("models/{}", route.name),
        "displayName": &*route.name,
        "supportedGenerationMethods": METHODS,
    });
    let input = info.and_then(|info| info.max_input.or(info.context_window));
    let limits = [("inputTokenLimit", input), ("outputTokenLimit", info.and_then(|info| info.max_output))];
    for (name, limit) in limits {
        if let Some(limit) = limit {
            model[name] = limit.into();
        }
    }
    model
}
