//! The bits of [`Form`](crate::hub::Form) of this dialect: which of several spellings was used.

use crate::hub::{Dialect, Form};

/// This dialect.
pub(super) const RESPONSES: Dialect = Dialect::OpenAiResponses;

/// A part: it stood in a list; else `content`, `output` or `input` was a bare string.
pub(super) const LIST: u16 = 1;
/// A part: it belongs to the item of the part before it.
pub(super) const CONTINUES: u16 = 1 << 1;
/// Text: its type is `input_text`, though the model says it.
pub(super) const INPUT: u16 = 1 << 2;
/// Text: its type is `output_text`, though the model does not say it.
pub(super) const OUTPUT: u16 = 1 << 3;
/// Text: its type is `text`, as in chat completions.
pub(super) const PLAIN: u16 = 1 << 4;
/// A part that stands for an item without any: it is blank, and no part is written for it.
pub(super) const HOLLOW: u16 = 1 << 5;
/// A message: without its `type`.
pub(super) const NO_TYPE: u16 = 1 << 6;
/// A tool call: its arguments were another JSON value than a string, and are its text.
pub(super) const RAW: u16 = 1 << 7;
/// A tool call: without arguments.
pub(super) const NO_ARGUMENTS: u16 = 1 << 8;
/// A file: `file_data` was base64 without `data:`.
pub(super) const BARE: u16 = 1 << 9;
/// A tool result: of a custom tool.
pub(super) const CUSTOM: u16 = 1 << 10;
/// A tool call: its seal stood in a reasoning item before it.
pub(super) const SEALED_BEFORE: u16 = 1 << 11;

/// A turn: it is `instructions`.
pub(super) const INSTRUCTIONS: u16 = 1;
/// A turn: `input` is its text.
pub(super) const WHOLE_INPUT: u16 = 1 << 1;

/// The word in `include` that asks for log probabilities.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";
/// The word in `include` that asks for thoughts that can be sent back.
pub(super) const ENCRYPTED: &str = "reasoning.encrypted_content";

/// The member of a message's first part that holds the item's id.
pub(super) const ITEM_ID: &str = "item_id";
/// The member of an item's last part that holds the item's other members.
pub(super) const ITEM: &str = "item";

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(RESPONSES, bits)
}

/// `bit` if `condition`.
pub(super) fn bit_if(condition: bool, bit: u16) -> u16 {
    if condition { bit } else { 0 }
}
