//! What must be kept of an exchange, so that the next request can go on from it.

use serde_json::value::RawValue;

use super::{decode_request, encode_request};
use crate::hub::{Capabilities, DecodeError, Request, Target, Turn};

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
}
