//! `function_call` and `custom_tool_call` items, and their outputs. Read.

use super::content;
use super::form::{CUSTOM, NO_ARGUMENTS, RAW, RESPONSES, bit_if, form};
use super::seals;
use crate::hub::{CallKind, DecodeError, Extra, Fields, Mode, Part, PartKind, ToolCall, ToolResult};

/// The members of an item that say nothing to other dialects.
pub(super) const QUIET: [&str; 4] = ["id", "status", "created_by", "phase"];

/// A call. `None` in an answer if it has no name.
pub(super) fn read(mut fields: Fields<'_>, kind: CallKind) -> Result<Option<Part>, DecodeError> {
    fields.take("type");
    let at = fields.at().clone();
    let name = match fields.mode() {
        Mode::Request => fields.require_text("name")?,
        Mode::Answer => match fields.word("name")? {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    let id = fields.word("call_id")?;
    let (arguments, bits) = match fields.take(member(kind)) {
        None => (String::new(), NO_ARGUMENTS),
        Some(node) => match node.text() {
            Some(text) => (text.into_owned(), 0),
            None => (node.raw.trim().to_owned(), RAW),
        },
    };
    let signature = seals::take_google(&mut fields)?;
    let call = ToolCall { id, name, arguments, kind, extra: Extra::default() };
    let extra = quiet(fields.rest(RESPONSES));
    Ok(Some(Part { at, signature, form: form(bits), extra, ..Part::new(PartKind::ToolCall(call)) }))
}

/// The member that holds what a tool is called with.
pub(super) fn member(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Function => "arguments",
        CallKind::Custom => "input",
    }
}

/// What a tool gave back.
pub(super) fn output(mut fields: Fields<'_>, kind: CallKind) -> Result<Part, DecodeError> {
    fields.take("type");
    let at = fields.at().clone();
    let result = ToolResult {
        call_id: fields.text("call_id")?,
        name: fields.text("name")?,
        parts: content::take(&mut fields, "output", false)?,
        failed: None,
    };
    let bits = bit_if(kind == CallKind::Custom, CUSTOM);
    let extra = quiet(fields.rest(RESPONSES));
    Ok(Part { at, form: form(bits), extra, ..Part::new(PartKind::ToolResult(result)) })
}

/// Ids and states are quiet.
pub(super) fn quiet(extra: Extra) -> Extra {
    extra.quieten(|name| QUIET.contains(&name))
}
