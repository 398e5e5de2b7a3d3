//! What must be kept of an exchange, so that the next request can go on from it.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{decode_request, encode_request};
use crate::hub::{Capabilities, DecodeError, Request, Target, Turn};
use crate::json::scan_object;

use super::form::RESPONSES;

#[derive(serde::Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    output: Vec<&'a RawValue>,
}

/// The items of a request: a JSON list, instructions left out, for they hold for one request.
#[must_use]
pub fn items(request: &Request) -> String {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: RESPONSES };
    let Ok(encoded) = encode_request(request, &target) else { return "[]".to_owned() };
    let input = serde_json::from_str::<Input<'_>>(&encoded.body).ok().and_then(|body| body.input.map(RawValue::get));
    match input {
        Some(list) if list.starts_with('[') => list.to_owned(),
        Some(text) => format!("[{{\"type\":\"message\",\"role\":\"user\",\"content\":{text}}}]"),
        None => "[]".to_owned(),
    }
}

/// The items of an exchange: the request's ([`items`]), then the answer's.
#[must_use]
pub fn with_answer(items: &str, response: &str) -> String {
    let Ok(answer) = serde_json::from_str::<Output<'_>>(response) else { return items.to_owned() };
    let before = items.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or_default().trim();
    let more = answer.output.iter().map(|item| item.get());
    let all: Vec<&str> = std::iter::once(before).filter(|list| !list.is_empty()).chain(more).collect();
    format!("[{}]", all.join(","))
}

/// The turns of items that were kept.
pub fn turns(items: &str) -> Result<Vec<Turn>, DecodeError> {
    decode_request(format!("{{\"model\":\"-\",\"input\":{items}}}").as_bytes()).map(|request| request.turns)
}

/// The items of a response that have ids, with their JSON.
#[must_use]
pub fn items_of(response: &str) -> Vec<(String, String)> {
    let Ok(answer) = serde_json::from_str::<Output<'_>>(response) else { return Vec::new() };
    let items = answer.output.iter().filter_map(|item| {
        let Named { id } = serde_json::from_str(item.get()).ok()?;
        Some((id?, item.get().to_owned()))
    });
    items.collect()
}

/// The ids of earlier items that a body refers to in place of repeating them.
#[must_use]
pub fn references(body: &[u8]) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Items<'_>>(body) else { return Vec::new() };
    body.input.iter().filter_map(|item| reference(item)).collect()
}

/// The body with the items of these ids in place of what refers to them; others stay. `None` if there
/// is nothing to put in.
#[must_use]
pub fn with_items(body: &[u8], items: &HashMap<String, String>) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut at = None;
    scan_object(body, |field| {
        if field.key == "input" {
            at = Some(field.value);
        }
    })
    .ok()?;
    let at = at?;
    let input: Vec<&RawValue> = serde_json::from_slice(at.of(body)).ok()?;
    let put = |item: &&RawValue| reference(item).and_then(|id| items.get(&id).cloned());
    let list: Vec<String> = input.iter().map(|item| put(item).unwrap_or_else(|| item.get().to_owned())).collect();
    Some(format!("{}[{}]{}", text.get(..at.start)?, list.join(","), text.get(at.end..)?))
}

#[derive(serde::Deserialize)]
struct Named {
    id: Option<String>,
}

#[derive(serde::Deserialize)]
struct Items<'a> {
    #[serde(borrow)]
    input: Vec<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
}

fn reference(item: &RawValue) -> Option<String> {
    let Reference { kind, id } = serde_json::from_str(item.get()).ok()?;
    id.filter(|_| kind.as_deref() == Some("item_reference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_kept_and_read_again() {
        for input in [r#""hi""#, r#"[{"role":"user","content":"hi"}]"#] {
            let body = format!(r#"{{"model":"m","instructions":"be brief","input":{input}}}"#);
            let request = decode_request(body.as_bytes()).unwrap();
            let response = r#"{"id":"r","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ho","annotations":[]}]}]}"#;
            let kept = with_answer(&items(&request), response);
            let turns = turns(&kept).unwrap();
            let said: Vec<_> = turns.iter().filter_map(|turn| turn.parts.first()?.as_text()).collect();
            assert_eq!(said, ["hi", "ho"], "{kept}");
        }
        assert_eq!(with_answer("[]", r#"{"output":[]}"#), "[]");
    }

    #[test]
    fn references_give_way_to_what_they_refer_to() {
        let kept = items_of(r#"{"output":[{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message"}]}"#);
        assert_eq!(kept, [("rs_1".to_owned(), r#"{"type":"reasoning","id":"rs_1","summary":[]}"#.to_owned())]);
        let body = br#"{"model":"m","input":[{"role":"user","content":"a"},{"type":"item_reference","id":"rs_1"},{"type":"item_reference","id":"rs_2"}],"x":1.0}"#;
        assert_eq!(references(body), ["rs_1", "rs_2"]);
        let put = with_items(body, &kept.into_iter().collect()).unwrap();
        let expected = r#"{"model":"m","input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","summary":[]},{"type":"item_reference","id":"rs_2"}],"x":1.0}"#;
        assert_eq!(put, expected);
        assert_eq!(references(br#"{"input":"text"}"#), Vec::<String>::new());
    }
}
