//! The bits of [`Form`](crate::hub::Form) of this dialect: which of several spellings was used.

use crate::hub::{Dialect, Form};

/// This dialect.
pub(super) const CHAT: Dialect = Dialect::OpenAiChat;

/// A part: it stood in a list; else `content` was a bare string.
pub(super) const LIST: u16 = 1;
/// Thinking: in `reasoning_content`.
pub(super) const REASONING_CONTENT: u16 = 1 << 1;
/// Thinking: in `reasoning`.
pub(super) const REASONING: u16 = 1 << 2;
/// Thinking: in `reasoning_details`.
pub(super) const DETAILS: u16 = 1 << 3;
/// Text: another JSON value than a string; the part's text is that JSON. A tool call: so were its
/// arguments.
pub(super) const RAW: u16 = 1 << 4;
/// An image: `image_url` was the address itself. A file: `file_data` was base64 without `data:`.
pub(super) const BARE: u16 = 1 << 5;
/// A cache hint: `cache_control`; else `prompt_cache_breakpoint`.
pub(super) const CACHE_CONTROL: u16 = 1 << 6;
/// A tool or a tool call: without its `type`.
pub(super) const NO_TYPE: u16 = 1 << 7;
/// A tool, a tool call, a turn: `functions`, `function_call`, role `function`.
pub(super) const LEGACY: u16 = 1 << 8;
/// A tool call: without `arguments`.
pub(super) const NO_ARGUMENTS: u16 = 1 << 9;
/// A file: `document_url`.
pub(super) const DOCUMENT_URL: u16 = 1 << 10;

/// Parameters: the cap is `max_tokens`.
pub(crate) const MAX_TOKENS: u16 = 1;
/// Parameters: `stop` is one string.
pub(super) const ONE_STOP: u16 = 1 << 1;
/// Parameters: the tool choice is `function_call`.
pub(super) const LEGACY_CHOICE: u16 = 1 << 2;
/// Parameters: a tool is required by `any`.
pub(super) const CHOICE_ANY: u16 = 1 << 3;
/// Parameters: how much to think is in `thinking`; else in `reasoning`.
pub(super) const THINKING: u16 = 1 << 4;
/// Parameters: the effort is in `reasoning_effort`.
pub(super) const EFFORT: u16 = 1 << 5;
/// Parameters: the tool choice is an object without its `type`.
pub(super) const CHOICE_NO_TYPE: u16 = 1 << 6;

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(CHAT, bits)
}

/// `bit` if `condition`.
pub(super) fn bit_if(condition: bool, bit: u16) -> u16 {
    if condition { bit } else { 0 }
}
