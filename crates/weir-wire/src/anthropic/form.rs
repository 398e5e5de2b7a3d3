//! The bits of [`Form`](crate::hub::Form) of this dialect: which of several spellings was used.

use crate::hub::{Dialect, Form};

/// This dialect.
pub(super) const OWN: Dialect = Dialect::Anthropic;

/// A part: it stood in a list; else `content` was a bare string.
pub(super) const LIST: u16 = 1;
/// A tool: with `type: custom`.
pub(super) const TYPED: u16 = 1 << 1;
/// A tool call: its `caller` is the model itself, which says nothing.
pub(super) const DIRECT: u16 = 1 << 2;
/// A turn: instructions in a message; else they are the member `system`.
pub(super) const MESSAGE: u16 = 1 << 3;

/// Parameters: several calls at once were allowed in so many words.
pub(super) const PARALLEL: u16 = 1;
/// Parameters: the format of the answer is in `output_format`.
pub(super) const OUTPUT_FORMAT: u16 = 1 << 1;

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(OWN, bits)
}

/// `bit` if `condition`.
pub(super) fn bit_if(condition: bool, bit: u16) -> u16 {
    if condition { bit } else { 0 }
}
