//! The bits of [`Form`](crate::hub::Form) of this dialect, and objects that are read in part.

use crate::hub::write::{self, Obj};
use crate::hub::{Dialect, Extra, Form, Mode, Node, Place};

/// This dialect.
pub(super) const OLLAMA: Dialect = Dialect::Ollama;

/// A tool call: without `arguments`.
pub(super) const NO_ARGUMENTS: u16 = 1;

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(OLLAMA, bits)
}

/// Writes an object of what `fill` writes and of what was left in it when it was read, which stands
/// in `left` under its name; nothing if that is nothing.
pub(super) fn nested(o: &mut Obj<'_>, name: &'static str, left: &Extra, fill: impl FnOnce(&mut Obj<'_>)) {
    let left = left.get(OLLAMA, name).and_then(|json| {
        let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
        Some(node.fields(Place::root()).ok()?.rest(OLLAMA))
    });
    let text = write::object(|o| {
        fill(o);
        if let Some(left) = &left {
            o.extra(left, OLLAMA);
        }
    });
    if text != "{}" {
        o.raw(name, &text);
    }
}
