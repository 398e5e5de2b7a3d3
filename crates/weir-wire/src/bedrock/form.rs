//! The bits of [`Form`](crate::hub::Form) of this dialect, and members that stand in objects
//! nobody has a place for.

use crate::hub::write::{self, Obj};
use crate::hub::{Dialect, Extra, Fields, Form, Json, Mode, Node, Place};
use crate::json::Kind;

/// This dialect.
pub(super) const BEDROCK: Dialect = Dialect::Bedrock;

/// A turn: a message of role `system`; else instructions are in `system`.
pub(super) const MESSAGE: u16 = 1;
/// Text: a tool result's `json`; the part's text is that JSON.
pub(super) const JSON: u16 = 1 << 1;
/// Text: `citationsContent`, though it cites nothing.
pub(super) const CITED: u16 = 1 << 2;
/// Redacted thoughts: not of text, so the seal is the base64 as it was. A call: its input was no
/// object, the arguments are that JSON.
pub(super) const RAW: u16 = 1 << 3;

/// Parameters: the effort is in `outputConfig`.
pub(super) const EFFORT: u16 = 1;

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(BEDROCK, bits)
}

/// `bit` if `condition`.
pub(super) fn bit_if(condition: bool, bit: u16) -> u16 {
    if condition { bit } else { 0 }
}

/// Takes an object to look into, unless it is empty or another kind in an answer: then it is left,
/// and so comes back as it was.
pub(super) fn open<'a>(fields: &mut Fields<'a>, name: &str) -> Result<Option<Fields<'a>>, crate::hub::DecodeError> {
    if fields.peek(name).is_some_and(|node| node.kind == Kind::Object && node.json().is_empty()) {
        return Ok(None);
    }
    fields.object(name)
}

/// What was left in an object that was opened goes back under its name: [`nested`] writes it.
pub(super) fn shut(name: &str, fields: Fields<'_>, left: &mut Vec<(String, Json)>) {
    if !fields.is_empty() {
        let rest = fields.rest(BEDROCK);
        left.push((name.to_owned(), Json::checked(&write::object(|o| o.extra(&rest, BEDROCK)))));
    }
}

/// Members nobody took, and those left in objects within.
pub(super) fn extra(fields: Fields<'_>, left: Vec<(String, Json)>) -> Extra {
    let mut members = fields.rest(BEDROCK).members().to_vec();
    members.extend(left);
    Extra::new(BEDROCK, members)
}

/// Writes an object of what `fill` writes and what was left in it when it was read; nothing if
/// that is nothing.
pub(super) fn nested(o: &mut Obj<'_>, name: &'static str, left: &Extra, fill: impl FnOnce(&mut Obj<'_>)) {
    let left = left.get(BEDROCK, name).and_then(|json| {
        let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
        Some(node.fields(Place::root()).ok()?.rest(BEDROCK))
    });
    let text = write::object(|o| {
        fill(o);
        if let Some(left) = &left {
            o.extra(left, BEDROCK);
        }
    });
    if text != "{}" {
        o.raw(name, &text);
    }
}
