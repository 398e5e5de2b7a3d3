//! Objects (files, batches, responses, ...) belong to the key that created them: another key can
//! neither read, use nor delete them, nor see them in a list. To it they do not exist.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::value::RawValue;
use weir_wire::json::{JsonError, Kind, Reader};

use super::Ask;
use super::incoming::Incoming;
use crate::error::ApiError;
use crate::flight::Caller;
use crate::state::Gateway;
use crate::store::objects as store;

/// Ids looked up for one request.
const MAX_IDS: usize = 256;
/// Longest id.
const MAX_ID: usize = 128;

/// The objects a request names in its path, query and body.
pub(super) fn named(ask: &Ask, incoming: &Incoming) -> Vec<String> {
    let mut ids = path_ids(&ask.path);
    ids.extend(query_ids(ask.query.as_deref()));
    body_ids(&incoming.json, &mut ids);
    ids
}

/// Refuses ids of another key's objects. Says which provider holds them.
///
/// # Errors
/// 404 for another key's, 503 without the database.
pub async fn check(gateway: &Gateway, caller: &Caller, mut ids: Vec<String>) -> Result<Option<String>, ApiError> {
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Ok(None);
    }
    if ids.len() > MAX_IDS {
        return Err(ApiError::invalid("too_many_objects", format!("the request names more than {MAX_IDS} objects")));
    }
    let refs: Vec<&str> = ids.iter().map(String::as_str).collect();
    let owners = store::owners(&gateway.db, &refs).await.map_err(|error| {
        tracing::error!(%error, "object owners could not be read: {error}");
        ApiError::database_away()
    })?;
    if let Some(foreign) = owners.iter().find(|o| o.key_id != caller.key.id) {
        let message = format!("no such object: '{}'", crate::flight::bounded(&foreign.object_id, MAX_ID));
        return Err(ApiError::not_found("not_found", message));
    }
    Ok(owners.into_iter().next().map(|o| o.provider))
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_:.".contains(&b);
    (6..=MAX_ID).contains(&text.len()) && text.bytes().all(plain) && text.bytes().any(|b| b == b'-' || b == b'_')
}

/// Path segments that look like ids, percent-decoded as the provider will.
fn path_ids(path: &str) -> Vec<String> {
    let decoded = path.split('/').filter_map(|s| percent_encoding::percent_decode_str(s).decode_utf8().ok());
    decoded.filter(|s| is_id(s)).map(std::borrow::Cow::into_owned).collect()
}

/// Query values that look like ids (`after=`, `vector_store_id=`).
fn query_ids(query: Option<&str>) -> Vec<String> {
    let values = query.unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    values.flat_map(path_ids).collect()
}

/// Members of a JSON body whose values are object ids, at any depth.
const REFERENCES: [&str; 15] = [
    "file_id",
    "file_ids",
    "input_file_id",
    "output_file_id",
    "training_file",
    "validation_file",
    "previous_response_id",
    "conversation",
    "conversation_id",
    "vector_store_id",
    "vector_store_ids",
    "container",
    "upload_id",
    "part_ids",
    "assistant_id",
];

/// Finds bodies that may hold a reference. A key may be spelled with escapes.
static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = REFERENCES.iter().chain(&["\\u00"]);
    let compiled = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(words);
    compiled.expect("a handful of short words can be compiled")
});

/// Adds the object ids a JSON body refers to. It is read as the request was checked: what another
/// reader makes of long numbers, deep nesting or keys given twice makes no difference.
pub fn body_ids(json: &[u8], ids: &mut Vec<String>) {
    if FINDER.is_match(json)
        && let Ok(mut reader) = Reader::new(json)
    {
        // The body was found to be JSON before.
        let _: Result<(), JsonError> = collect(&mut reader, ids);
    }
}

fn collect(reader: &mut Reader<'_>, ids: &mut Vec<String>) -> Result<(), JsonError> {
    match reader.kind()? {
        Kind::Array => reader.array(|reader| collect(reader, ids)).map(|_| ()),
        Kind::Object => reader
            .object(
                |reader, key| {
                    if REFERENCES.contains(&&*key.name) { strings(reader, ids) } else { collect(reader, ids) }
                },
            )
            .map(|_| ()),
        _ => reader.skip().map(|_| ()),
    }
}

/// The strings of a reference: one id, a list of ids, or `{"id": ..}`.
fn strings(reader: &mut Reader<'_>, ids: &mut Vec<String>) -> Result<(), JsonError> {
    match reader.kind()? {
        Kind::String => {
            let text = reader.string()?;
            if text.len() <= MAX_ID {
                ids.push(text.into_owned());
            }
            Ok(())
        }
        Kind::Array => reader.array(|reader| strings(reader, ids)).map(|_| ()),
        Kind::Object => reader.object(|reader, _| strings(reader, ids)).map(|_| ()),
        _ => reader.skip().map(|_| ()),
    }
}

#[derive(serde::Deserialize)]
struct Created {
    id: Option<String>,
    object: Option<String>,
}

/// The id an answer names.
#[must_use]
pub fn id_of(answer: &[u8]) -> Option<String> {
    serde_json::from_slice::<Created>(answer).ok()?.id
}

/// Remembers the object an answer describes as the caller's.
///
/// # Errors
/// As [`own`].
pub(super) async fn remember(
    gateway: &Gateway,
    caller: &Caller,
    ask: &Ask,
    provider: &str,
    answer: &Bytes,
) -> Result<(), ApiError> {
    match serde_json::from_slice(answer) {
        Ok(Created { id: Some(id), object }) if creates(ask) => {
            own(gateway, caller, provider, &id, object.as_deref().unwrap_or(ask.endpoint())).await
        }
        _ => Ok(()),
    }
}

/// Remembers an object as the caller's; the first owner stays.
///
/// # Errors
/// When it cannot be written down: an object nobody owns could be read by every key.
pub async fn own(gateway: &Gateway, caller: &Caller, provider: &str, id: &str, kind: &str) -> Result<(), ApiError> {
    if id.is_empty() || id.len() > MAX_ID {
        return Ok(());
    }
    let created_at = gateway.clock().unix_ms();
    let object = store::Object { provider, object_id: id, key_id: &caller.key.id, kind, created_at };
    store::remember(&gateway.db, &object).await.map_err(|error| {
        tracing::error!(%error, object = %id, "the owner of object {id} could not be recorded: {error}");
        ApiError::database_away()
    })?;
    Ok(())
}

/// Endpoints whose answers name nothing that outlives them.
fn creates(ask: &Ask) -> bool {
    !matches!(
        ask.endpoint(),
        "moderations" | "embeddings" | "images/generations" | "images/edits" | "rerank" | "models"
    )
}

/// Forgets a deleted object.
pub(super) async fn forget(gateway: &Gateway, ask: &Ask, provider: &str) {
    let Some(id) = path_ids(&ask.path).pop() else { return };
    if let Err(error) = store::forget(&gateway.db, provider, &id).await {
        tracing::warn!(%error, object = %id, "the deleted object {id} could not be forgotten: {error}");
    }
}

#[derive(serde::Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// A list without the objects of other keys; `None` when there are none in it.
pub(super) async fn filter_list(
    gateway: &Gateway,
    caller: &Caller,
    provider: &str,
    answer: &Bytes,
) -> Result<Option<Bytes>, ApiError> {
    let Ok(list) = serde_json::from_slice::<List<'_>>(answer) else { return Ok(None) };
    let id = |raw: &RawValue| id_of(raw.get().as_bytes());
    let ids: Vec<String> = list.data.iter().filter_map(|raw| id(raw)).collect();
    let mut foreign = std::collections::HashSet::new();
    for batch in ids.chunks(MAX_IDS) {
        let refs: Vec<&str> = batch.iter().map(String::as_str).collect();
        let owners = store::owners(&gateway.db, &refs).await.map_err(|error| {
            tracing::error!(%error, "object owners could not be read: {error}");
            ApiError::database_away()
        })?;
        foreign.extend(
            owners.into_iter().filter(|o| o.key_id != caller.key.id && o.provider == provider).map(|o| o.object_id),
        );
    }
    if foreign.is_empty() {
        return Ok(None);
    }
    let kept: Vec<&RawValue> =
        list.data.iter().copied().filter(|raw| id(raw).is_none_or(|id| !foreign.contains(&id))).collect();
    Ok(replace_data(answer, &kept))
}

/// The answer with other items; its other members as they came, but for the ids at which the next
/// page begins, which must be ones that the caller may name.
fn replace_data(answer: &[u8], items: &[&RawValue]) -> Option<Bytes> {
    let mut members: IndexMap<String, Box<RawValue>> = serde_json::from_slice(answer).ok()?;
    let id = |item: Option<&&RawValue>| item.and_then(|item| id_of(item.get().as_bytes()));
    for (name, id) in [("first_id", id(items.first())), ("last_id", id(items.last()))] {
        if let Some(member) = members.get_mut(name) {
            *member = serde_json::value::to_raw_value(&id).ok()?;
        }
    }
    *members.get_mut("data")? = serde_json::value::to_raw_value(items).ok()?;
    serde_json::to_vec(&members).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        assert_eq!(
            path_ids("/vector_stores/vs_abc123/files/file-xyz789/content"),
            ["vector_stores", "vs_abc123", "file-xyz789"]
        );
        assert_eq!(query_ids(Some("after=file-abc&limit=5")), ["file-abc"]);
        let mut ids = Vec::new();
        body_ids(br#"{"input":[{"content":[{"type":"input_file","file_id":"file-1"}]}],"tools":[{"vector_store_ids":["vs_1"]}],"conversation":{"id":"conv_1"},"note":"file_id"}"#, &mut ids);
        ids.sort();
        assert_eq!(ids, ["conv_1", "file-1", "vs_1"]);
    }

    #[test]
    fn a_list_keeps_its_other_members() {
        let answer = br#"{"object":"list","data":[{"id":"a"},{"id":"b","n":1e400}],"last_id":"c","x":1.0}"#;
        let list: List<'_> = serde_json::from_slice(answer).unwrap();
        let shown = |items: &[&RawValue]| String::from_utf8(replace_data(answer, items).unwrap().to_vec()).unwrap();
        assert_eq!(shown(&list.data[1..]), r#"{"object":"list","data":[{"id":"b","n":1e400}],"last_id":"b","x":1.0}"#);
        assert_eq!(shown(&[]), r#"{"object":"list","data":[],"last_id":null,"x":1.0}"#);
    }
}
