//! The bits of [`Form`](crate::hub::Form) of this dialect: which of several spellings was used.

use crate::hub::{Dialect, Form};

/// This dialect.
pub(super) const COHERE: Dialect = Dialect::Cohere;

/// By what a thought is known to be a plan, here and in the hands of other dialects' callers.
pub(super) const PLAN_ID: &str = "tool_plan";

/// A part: it stood in a list; else `content` was a bare string.
pub(super) const LIST: u16 = 1;
/// A document: it was the text itself.
pub(super) const BARE: u16 = 1 << 1;
/// A document: its text is the JSON of `data`.
pub(super) const RAW: u16 = 1 << 2;
/// A document: it stood in the request's `documents`.
pub(super) const BESIDE: u16 = 1 << 3;
/// A tool call: without its `type`.
pub(super) const NO_TYPE: u16 = 1 << 4;
/// A tool call: without `arguments`.
pub(super) const NO_ARGUMENTS: u16 = 1 << 5;

/// Parameters: the schema of the answer is `schema`; else `json_schema`.
pub(super) const SCHEMA: u16 = 1;

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(COHERE, bits)
}

/// `bit` if `condition`.
pub(super) fn bit_if(condition: bool, bit: u16) -> u16 {
    if condition { bit } else { 0 }
}
