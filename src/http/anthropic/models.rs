//! Models in Anthropic's form (<https://docs.claude.com/en/api/models-list>).

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::query::Params;
use crate::snapshot::Route;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;
/// What Anthropic says where a release date is not known, and no catalogue knows it.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

/// A page of models: `limit` (1 to 1000) of them, `after_id` or `before_id`.
///
/// # Errors
/// 400 for a page that cannot be.
pub(in crate::http) fn page(routes: &[&Route], query: Option<&str>) -> Result<Value, ApiError> {
    let params = Params::of_dialect(query, &["limit", "after_id", "before_id"])?;
    let limit = params.parsed("limit", |text| {
        text.parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or("must be a number from 1 to 1000".to_owned())
    })?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let (after, before) = (place(routes, &params, "after_id")?, place(routes, &params, "before_id")?);
    let (page, has_more) = match (after, before) {
        (Some(_), Some(_)) => {
            let why = "send after_id or before_id, not both";
            return Err(ApiError::invalid("invalid_value", why).param("before_id"));
        }
        (None, Some(end)) => (&routes[end.saturating_sub(limit)..end], end > limit),
        (after, None) => {
            let rest = &routes[after.map_or(0, |at| at + 1)..];
            (&rest[..limit.min(rest.len())], rest.len() > limit)
        }
    };
    Ok(json!({
        "data": page.iter().map(|route| describe(route)).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": page.first().map(|route| &*route.name),
        "last_id": page.last().map(|route| &*route.name),
    }))
}

fn place(routes: &[&Route], params: &Params, name: &'static str) -> Result<Option<usize>, ApiError> {
    params.parsed(name, |id| {
        let found = routes.iter().position(|route| &*route.name == id);
        found.ok_or_else(|| "must be the id of a model in the list".to_owned())
    })
}

/// One model.
pub(in crate::http) fn describe(route: &Route) -> Value {
    let info = route.targets[0].info.as_deref();
    let retires = info.and_then(|info| info.deprecation.as_deref());
    json!({
        "type": "model",
        "id": &*route.name,
        "display_name": &*route.name,
        "created_at": UNKNOWN_DATE,
        "max_input_tokens": info.and_then(|info| info.max_input.or(info.context_window)),
        "max_tokens": info.and_then(|info| info.max_output),
        "lifecycle": if retires.is_some() { "deprecated" } else { "active" },
        "retires_at": retires.map(|day| format!("{day}T00:00:00Z")),
    })
}
