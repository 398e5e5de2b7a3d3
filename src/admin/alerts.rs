//! Receivers of alerts: how they do, what they were told, what they never took, and to tell them again. The admin
//! API and `weir alerts` both end here.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::store_error;
use crate::alerts::{Note, Receiver, Receivers};
use crate::clock::{Entropy, UnixMs};
use crate::error::ApiError;
use crate::events::{ALERT_TEST, KINDS};
use crate::record::rfc3339;
use crate::store::Db;
use crate::store::outbox::letters::{self, Count, Cursor, Dead};
use crate::store::outbox::{self, Listing, Stored, deliveries};

/// How far pending events are counted.
const COUNTED: u32 = 10_000;

/// What to tell a receiver again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// The receiver.
    pub sink: String,
    /// From when on.
    pub since: Timestamp,
}

/// Which page of events.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Events of this kind.
    pub kind: Option<String>,
    /// Events from this moment on.
    pub since: Option<UnixMs>,
    /// Dead letters of this receiver.
    pub sink: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Entries of a page, 1 to 1000.
    pub limit: u32,
}

/// Every receiver of the configuration, and every other that the outbox still remembers.
///
/// # Errors
/// 503 without the database.
pub async fn list(db: &Db, receivers: &Receivers) -> Result<Value, ApiError> {
    let cursors = letters::cursors(db).await.map_err(store_error)?;
    let counts = letters::counts(db).await.map_err(store_error)?;
    let mut data = Vec::new();
    for receiver in receivers.iter() {
        let cursor = cursors.iter().find(|cursor| cursor.sink == receiver.name);
        let ahead = match cursor {
            Some(cursor) => deliveries::ahead(db, cursor.seq, &receiver.kinds, COUNTED).await.map_err(store_error)?,
            None => 0,
        };
        data.push(describe(&receiver.name, Some(receiver), cursor, &counts, ahead));
    }
    let others = cursors.iter().filter(|cursor| receivers.get(&cursor.sink).is_none());
    data.extend(others.map(|cursor| describe(&cursor.sink, None, Some(cursor), &counts, 0)));
    Ok(json!({"object": "list", "data": data, "has_more": false, "next_cursor": null}))
}

fn describe(
    name: &str,
    receiver: Option<&std::sync::Arc<Receiver>>,
    cursor: Option<&Cursor>,
    counts: &[Count],
    ahead: u64,
) -> Value {
    let count = |state: &str| {
        let found = counts.iter().find(|count| count.sink == name && count.state == state);
        found.and_then(|count| u64::try_from(count.events).ok()).unwrap_or(0)
    };
    let retrying = count("pending");
    json!({
        "name": name,
        "object": "alert",
        "configured": receiver.is_some(),
        "kind": receiver.map(|receiver| receiver.kind()),
        "target": receiver.map(|receiver| receiver.target()),
        "events": receiver.map(|receiver| &receiver.kinds),
        "pending": ahead.saturating_add(retrying),
        "retrying": retrying,
        "dead": count("dead"),
        "delivered": cursor.map_or(0, |cursor| cursor.delivered),
        "delivered_at": cursor.and_then(|cursor| cursor.delivered_at).map(rfc3339),
        "last_error": cursor.and_then(|cursor| cursor.last_error.as_deref()),
        "failed_at": cursor.and_then(|cursor| cursor.failed_at).map(rfc3339),
    })
}

/// A page of events, the newest first.
///
/// # Errors
/// 400 for a kind that there is not, 503 without the database.
pub async fn events(db: &Db, wanted: Wanted) -> Result<Value, ApiError> {
    if let Some(kind) = wanted.kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
        let shown = crate::flight::bounded(kind, 64);
        let message = format!("there are no events '{shown}'; there are {}", KINDS.join(", "));
        return Err(ApiError::invalid("invalid_value", message).param("kind"));
    }
    let Wanted { kind, since, cursor, limit, .. } = wanted;
    let listing = Listing { kind, since, after: cursor, limit: limit.saturating_add(1) };
    let events = outbox::list(db, &listing).await.map_err(store_error)?;
    Ok(page(events, limit, |event| event.id.clone(), event_json))
}

/// A page of dead letters, the newest event first.
///
/// # Errors
/// 503 without the database.
pub async fn dead(db: &Db, wanted: Wanted) -> Result<Value, ApiError> {
    let Wanted { sink, cursor, limit, .. } = wanted;
    let found = letters::dead(db, sink.as_deref(), cursor.as_deref(), limit.saturating_add(1)).await;
    Ok(page(found.map_err(store_error)?, limit, |letter| letter.id.clone(), dead_json))
}

/// Tells a receiver again what it never took.
///
/// # Errors
/// 404 when there is no such dead letter, 503 without the database.
pub async fn replay_one(db: &Db, id: &str, now: UnixMs) -> Result<Value, ApiError> {
    let sink = letters::replay_one(db, id, now).await.map_err(store_error)?.ok_or_else(|| {
        ApiError::not_found("not_found", format!("there is no dead letter '{}'", crate::flight::bounded(id, 64)))
    })?;
    Ok(json!({"object": "alert.replay", "id": id, "sink": sink}))
}

/// Tells a receiver again everything since a moment, what it took as well.
///
/// # Errors
/// 404 when there is no such receiver, 503 without the database.
pub async fn replay_since(db: &Db, body: &ReplayBody) -> Result<Value, ApiError> {
    let cursors = letters::cursors(db).await.map_err(store_error)?;
    if !cursors.iter().any(|cursor| cursor.sink == body.sink) {
        return Err(no_receiver(&body.sink));
    }
    letters::replay_since(db, &body.sink, body.since.as_millisecond()).await.map_err(store_error)?;
    Ok(json!({"object": "alert.replay", "sink": body.sink, "since": body.since.to_string()}))
}

/// Tells a receiver, once and at once, that this is a test, and says what came of it.
///
/// # Errors
/// 404 when there is no such receiver.
pub async fn test(receivers: &Receivers, name: &str, chance: &Entropy, now: UnixMs) -> Result<Value, ApiError> {
    let receiver = receivers.get(name).ok_or_else(|| no_receiver(name))?;
    let id = format!("evt_{}", chance.uuid(now).simple());
    let body = json!({"sink": name, "message": "a test of alerts: nothing happened"}).to_string();
    let outcome = receiver.tell(&Note { id: &id, kind: ALERT_TEST, at: now, body: &body }, now).await;
    Ok(json!({
        "object": ALERT_TEST,
        "sink": name,
        "event_id": id,
        "delivered": outcome.is_ok(),
        "error": outcome.err().map(|failure| failure.why),
    }))
}

fn no_receiver(name: &str) -> ApiError {
    let shown = crate::flight::bounded(name, 64);
    ApiError::not_found("not_found", format!("no receiver of alerts is called '{shown}'; see GET /admin/v1/alerts"))
}

/// What was found, of which one more than the page holds was asked for.
fn page<T>(mut found: Vec<T>, limit: u32, id: impl Fn(&T) -> String, shown: impl Fn(&T) -> Value) -> Value {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(id);
    let data: Vec<Value> = found.iter().map(shown).collect();
    json!({"object": "list", "data": data, "has_more": more, "next_cursor": next})
}

fn event_json(event: &Stored) -> Value {
    json!({
        "id": event.id,
        "object": "event",
        "type": event.kind,
        "created_at": rfc3339(event.at),
        "data": serde_json::from_str::<Value>(&event.body).unwrap_or_default(),
    })
}

fn dead_json(letter: &Dead) -> Value {
    json!({
        "id": letter.id,
        "object": "dead_letter",
        "sink": letter.sink,
        "attempts": letter.attempts,
        "last_error": letter.last_error,
        "failed_at": rfc3339(letter.failed_at),
        "event": {
            "id": letter.event_id,
            "object": "event",
            "type": letter.kind,
            "created_at": rfc3339(letter.at),
            "data": serde_json::from_str::<Value>(&letter.body).unwrap_or_default(),
        },
    })
}
