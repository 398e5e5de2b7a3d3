//! Tool results, read and written.

use super::encode_request::{Writing, tool_id};
use super::form::BEDROCK;
use super::{content, parts};
use crate::hub::write;
use crate::hub::{DecodeError, Fields, LossKind, Part, PartKind, ToolResult};

/// Takes `toolResult`; `None` for what says more than is understood.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<ToolResult>, DecodeError> {
    let Some(node) = fields.peek("toolResult").filter(|node| node.kind == crate::json::Kind::Object) else {
        return Ok(None);
    };
    let mut inner = node.fields(fields.at().member("toolResult"))?;
    let call_id = inner.word("toolUseId")?;
    let failed = match inner.text("status")?.as_deref() {
        None => None,
        Some("success") => Some(false),
        Some("error") => Some(true),
        Some(_) => return Ok(None),
    };
    let mut held = Vec::new();
    for (at, node) in inner.whole_list("content")? {
        held.push(content::part(node, at)?);
    }
    if !inner.is_empty() {
        return Ok(None);
    }
    fields.take("toolResult");
    Ok(Some(ToolResult { call_id, name: None, parts: held, failed }))
}

/// The block of a result. Pictures that the model takes from the user alone are put into `shown`,
/// to follow the results.
pub(super) fn block<'p>(
    part: &Part,
    result: &'p ToolResult,
    shown: &mut Vec<&'p Part>,
    writing: &mut Writing<'_>,
) -> String {
    if result.call_id.is_none() && !writing.same() {
        writing.losses.refuse(part.at.as_str(), "the tool result names no call: give it the call's id");
    }
    let blocks = held(result, shown, writing);
    write::object(|o| {
        o.object("toolResult", |o| {
            if let Some(id) = &result.call_id {
                o.text("toolUseId", &tool_id(id, writing));
            }
            o.raw("content", &format!("[{}]", blocks.join(",")));
            if let Some(failed) = result.failed {
                o.text("status", if failed { "error" } else { "success" });
            }
        });
        o.extra(&part.extra, BEDROCK);
    })
}

/// The blocks of what a tool gave back.
fn held<'p>(result: &'p ToolResult, shown: &mut Vec<&'p Part>, writing: &mut Writing<'_>) -> Vec<String> {
    let mut blocks = Vec::new();
    for inner in &result.parts {
        match &inner.kind {
            _ if writing.same() => parts::block(inner, &mut blocks, writing),
            PartKind::Text(text) if text.text.trim().is_empty() => {}
            PartKind::Image(_) if !writing.capabilities().tool_result_images => {
                let why = "an image: the model takes it from the user alone, so it follows the results";
                writing.losses.add(inner.at.as_str(), LossKind::Approximated, why);
                blocks.push(write::object(|o| o.text("text", "[the image follows]")));
                shown.push(inner);
            }
            PartKind::Text(_) | PartKind::Image(_) | PartKind::Document(_) | PartKind::Video(_) => {
                let bare = Part { cache: None, ..inner.clone() };
                parts::block(&bare, &mut blocks, writing);
            }
            PartKind::Opaque(opaque) if opaque.native.dialect == BEDROCK => {
                parts::block(inner, &mut blocks, writing);
            }
            _ => writing.losses.refuse_part(inner, "cannot stand in a tool result here"),
        }
    }
    blocks
}
