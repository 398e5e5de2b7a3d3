//! `functionCall` written, and `functionResponse`, read and written.
//!
//! A response is an object. Where it says but a text (or several) under `output`, `error` or `result`,
//! that is the neutral result; any other object is its own text.

use super::encode_request::Writing;
use super::form::{GEMINI, KIND_SNAKE, NO_ARGS, NO_RESPONSE, RAW, RESULT, form, within};
use super::names::spelt;
use super::{parts, write_parts};
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, DecodeError, Extra, Fields, Json, LossKind, Node, Part, PartKind, Place, ToolCall, ToolResult,
};
use crate::json::Kind;

/// `{"id"?, "name", "response", "parts"?}`, with bits and the members beside these.
pub(super) fn result(mut inner: Fields<'_>) -> Result<(PartKind, u16, Extra), DecodeError> {
    let mode = inner.mode();
    let (call_id, name) = (inner.word("id")?, inner.word("name")?);
    let at = inner.at().member("response");
    let mut result = ToolResult { call_id, name, parts: Vec::new(), failed: None };
    let bits = match inner.take_kind("response", Kind::Object)? {
        None => NO_RESPONSE,
        Some(node) => response(node, &at, &mut result)?,
    };
    for (at, node) in inner.list("parts")? {
        result.parts.push(parts::part(node, at, mode)?);
    }
    Ok((PartKind::ToolResult(result), bits, inner.rest(GEMINI)))
}

/// Reads the response's texts, and says how they were written.
fn response(node: Node<'_>, at: &Place, result: &mut ToolResult) -> Result<u16, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    for (name, bits, failed) in [("output", 0, None), ("result", RESULT, None), ("error", 0, Some(true))] {
        let Some(said) = fields.peek(name).filter(|_| fields.len() == 1) else { continue };
        if let Some(texts) = texts(said)? {
            fields.take(name);
            result.parts.extend(texts.into_iter().map(|text| Part { at: at.clone(), ..Part::text(text) }));
            result.failed = failed;
            return Ok(bits);
        }
    }
    result.parts.push(Part { at: at.clone(), form: form(RAW), ..Part::text(node.raw.trim()) });
    Ok(RAW)
}

/// A text, or a list of at least two.
fn texts(node: Node<'_>) -> Result<Option<Vec<String>>, DecodeError> {
    if let Some(text) = node.text() {
        return Ok(Some(vec![text.into_owned()]));
    }
    if node.kind != Kind::Array {
        return Ok(None);
    }
    let items = node.items(&Place::root())?;
    let texts: Option<Vec<String>> =
        items.iter().map(|(_, node)| node.text().map(std::borrow::Cow::into_owned)).collect();
    Ok(texts.filter(|texts| texts.len() > 1))
}

/// Writes a call's `functionCall`.
pub(super) fn write_call(o: &mut Obj<'_>, part: &Part, call: &ToolCall, writing: &mut Writing<'_>) {
    writing.losses.extra(&call.extra, &part.at);
    let args = match call.object() {
        _ if call.arguments.is_empty() && part.form.has(GEMINI, NO_ARGS) => None,
        Some(object) if call.kind == CallKind::Function => Some(object),
        _ => Some(wrapped(part, call, writing)),
    };
    o.object(spelt("functionCall", part.form.has(GEMINI, KIND_SNAKE)), |o| {
        o.opt_text("id", call.id.as_deref());
        o.text("name", &call.name);
        o.opt_json("args", args.as_ref());
        o.extra(&call.extra, GEMINI);
    });
}

/// Arguments that are no object, in one.
fn wrapped(part: &Part, call: &ToolCall, writing: &mut Writing<'_>) -> Json {
    let why = "the call's arguments are no JSON object: they were put into one as its input";
    writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
    let text = write::object(|o| o.text("input", &call.arguments));
    Json::parse(&text).unwrap_or_else(|_| Json::string(""))
}

/// Writes a result's `functionResponse`. Media that the model takes in no result are put into
/// `shown`, for what the user says behind it.
pub(super) fn write_result<'p>(
    o: &mut Obj<'_>,
    part: &Part,
    result: &'p ToolResult,
    shown: &mut Vec<&'p Part>,
    writing: &mut Writing<'_>,
) {
    let (mut texts, media) = split(result, shown, writing);
    let name = name_of_call(part, result, writing);
    let own = within(&part.extra, "functionResponse");
    let held: Vec<String> = media.into_iter().filter_map(|part| write_parts::write(part, writing)).collect();
    let raw = part.form.has(GEMINI, RAW).then(|| texts.first().and_then(|text| object(text))).flatten();
    o.object(spelt("functionResponse", part.form.has(GEMINI, KIND_SNAKE)), |o| {
        o.opt_text("id", result.call_id.as_deref());
        o.opt_text("name", name.as_deref());
        match raw {
            Some(raw) => o.raw("response", raw.as_str()),
            None if texts.is_empty() && part.form.has(GEMINI, NO_RESPONSE) => {}
            None => o.object("response", |o| write_texts(o, part, result, &mut texts)),
        }
        if !held.is_empty() {
            o.raw("parts", &format!("[{}]", held.join(",")));
        }
        o.extra(&own, GEMINI);
    });
}

fn object(text: &str) -> Option<Json> {
    Json::parse(text).ok().filter(|json| json.kind() == Kind::Object)
}

fn write_texts(o: &mut Obj<'_>, part: &Part, result: &ToolResult, texts: &mut Vec<String>) {
    let name = match result.failed {
        Some(true) => "error",
        _ if part.form.has(GEMINI, RESULT) => "result",
        _ => "output",
    };
    match texts.len() {
        0 | 1 => o.text(name, &texts.pop().unwrap_or_default()),
        _ => o.array(name, |a| texts.iter().for_each(|text| a.text(text))),
    }
}

/// The texts of a result, and what else it holds.
fn split<'p>(
    result: &'p ToolResult,
    shown: &mut Vec<&'p Part>,
    writing: &mut Writing<'_>,
) -> (Vec<String>, Vec<&'p Part>) {
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    let within = writing.capabilities().tool_result_images;
    for part in &result.parts {
        match part.as_text() {
            Some(text) => texts.push(text.to_owned()),
            None if within => media.push(part),
            None => {
                let why =
                    format!("{}: the model's results hold text alone, so it follows as the user's", part.kind.name());
                writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
                texts.push("[shown in the next message]".to_owned());
                shown.push(part);
            }
        }
    }
    (texts, media)
}

/// The name of the tool, which this dialect demands: the result's, or its call's.
fn name_of_call(part: &Part, result: &ToolResult, writing: &mut Writing<'_>) -> Option<String> {
    let name = result.name.clone().or_else(|| writing.calls.get(result.call_id.as_ref()?).cloned());
    if name.is_none() && !writing.same() {
        writing.losses.refuse(part.at.as_str(), "the tool result answers no call: give it the call's id");
    }
    name
}
