//! Who calls, as a number that is the same each time; and the facts that conditions are asked about.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::plan::Asked;
use crate::snapshot::{HashBy, stable_hash};

/// Where a caller names its session, and the tag that does.
const SESSION: &str = "x-weir-session";
const SESSION_TAG: &str = "session";
/// Headers that no condition sees.
const SECRET: [&str; 5] = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];

/// A number of who calls, by the first of these that the request has. It is the caller's own: another key
/// that says the same is another caller.
pub(super) fn number(asked: &Asked<'_>, by: &[HashBy]) -> Option<u64> {
    let key = asked.flight.draft().caller.as_ref().map(|caller| caller.key.id.clone()).unwrap_or_default();
    let known = by.iter().find_map(|by| match by {
        HashBy::PromptCacheKey => asked
            .peek
            .text_member(asked.body, "prompt_cache_key")
            .map(Into::<String>::into)
            .filter(|text| !text.is_empty()),
        HashBy::Session => session(asked),
        HashBy::User => asked.peek.user.clone().filter(|text| !text.is_empty()),
        HashBy::Key => Some(String::new()).filter(|_| !key.is_empty()),
    })?;
    Some(stable_hash(&format!("{key}\n{known}")))
}

fn session(asked: &Asked<'_>) -> Option<String> {
    let named = asked.headers.get(SESSION).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let tagged = || {
        let draft = asked.flight.draft();
        draft.tags.iter().find(|(name, _)| name == SESSION_TAG).map(|(_, value)| value.clone())
    };
    named.or_else(tagged).filter(|name| !name.is_empty())
}

/// What conditions may name. Times are UTC; a weekday is 1 on Mondays.
pub(super) fn facts(asked: &Asked<'_>) -> Map<String, Value> {
    let Asked { peek, body, flight, .. } = asked;
    let draft = flight.draft();
    let key = draft.caller.as_ref().map(|caller| {
        let key = &caller.key;
        json!({"id": key.id, "name": key.name, "team": key.team_id, "user": key.user_id, "organization": key.organization_id})
    });
    let headers: Map<String, Value> = asked
        .headers
        .iter()
        .filter(|(name, _)| !SECRET.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.into())))
        .collect();
    let tags: Map<String, Value> =
        draft.tags.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let at = jiff::Timestamp::from_millisecond(flight.at).unwrap_or_default().to_zoned(TimeZone::UTC);
    let request = json!({
        "endpoint": asked.operation.endpoint(),
        "model": peek.model,
        "stream": peek.stream,
        "user": peek.user,
        "max_output_tokens": peek.max_output(),
        "prompt_tokens": asked.prompt_tokens,
        "n": peek.n.unwrap_or(1),
        "service_tier": peek.service_tier,
        "has_tools": peek.has_member(body, "tools"),
        "has_response_format": peek.has_member(body, "response_format") || peek.has_member(body, "text"),
        "reasoning_effort": peek.text_member(body, "reasoning_effort"),
    });
    let time = json!({
        "hour": at.hour(), "minute": at.minute(), "weekday": at.weekday().to_monday_one_offset(),
        "day": at.day(), "month": at.month(),
    });
    let facts = [
        ("request", request),
        ("headers", headers.into()),
        ("tags", tags.into()),
        ("key", key.unwrap_or(Value::Null)),
        ("time", time),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
