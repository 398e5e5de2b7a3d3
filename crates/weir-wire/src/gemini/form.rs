//! The bits of [`Form`](crate::hub::Form) of this dialect: which of several spellings was used.

use crate::hub::{Dialect, Extra, Form, Json};

/// This dialect.
pub(super) const GEMINI: Dialect = Dialect::Gemini;

/// A part: its kind is named in snake_case (`inline_data`).
pub(super) const KIND_SNAKE: u16 = 1;
/// Media: `mime_type`.
pub(super) const MIME_SNAKE: u16 = 1 << 1;
/// Media: `file_uri`.
pub(super) const URI_SNAKE: u16 = 1 << 2;
/// A part: `thought_signature`.
pub(super) const SEAL_SNAKE: u16 = 1 << 3;
/// Text or thinking: without `text`.
pub(super) const NO_TEXT: u16 = 1 << 4;
/// Text: `thought` is false.
pub(super) const NOT_THOUGHT: u16 = 1 << 5;
/// A call: without `args`.
pub(super) const NO_ARGS: u16 = 1 << 6;
/// A result: what it says stands in `result`; else in `output` or `error`.
pub(super) const RESULT: u16 = 1 << 7;
/// A result: its first text is the JSON of the whole `response`.
pub(super) const RAW: u16 = 1 << 8;
/// A result: without `response`.
pub(super) const NO_RESPONSE: u16 = 1 << 9;
/// A document: `display_name`.
pub(super) const TITLE_SNAKE: u16 = 1 << 10;
/// Media: its base64 has the alphabet for URLs.
pub(super) const DATA_URL: u16 = 1 << 11;
/// Media: its base64 is not padded.
pub(super) const DATA_BARE: u16 = 1 << 12;
/// A part: its seal's base64 has the alphabet for URLs.
pub(super) const SEAL_URL: u16 = 1 << 13;
/// A part: its seal's base64 is not padded.
pub(super) const SEAL_BARE: u16 = 1 << 14;

/// A turn: `parts` is one object and no list.
pub(super) const ONE_PART: u16 = 1;
/// A turn: `system_instruction`.
pub(super) const SYSTEM_SNAKE: u16 = 1 << 1;
/// A turn: without a role, if it is the user's.
pub(super) const NO_ROLE: u16 = 1 << 2;
/// A turn: the role is `user`, if it instructs.
pub(super) const ROLE_USER: u16 = 1 << 3;
/// A turn: the role is `model`, if it instructs.
pub(super) const ROLE_MODEL: u16 = 1 << 4;
/// A turn: the role is `system`.
pub(super) const ROLE_SYSTEM: u16 = 1 << 5;
/// A turn: the role is `function`.
pub(super) const ROLE_FUNCTION: u16 = 1 << 6;
/// A turn: the role is `tool`.
pub(super) const ROLE_TOOL: u16 = 1 << 7;
/// A turn: instructions among `contents`.
pub(super) const IN_CONTENTS: u16 = 1 << 8;

/// A tool: the first of an element of `tools`.
pub(super) const FIRST: u16 = 1;
/// A tool: `function_declarations`.
pub(super) const DECLARATIONS_SNAKE: u16 = 1 << 1;
/// A tool: its schema is `parameters`.
pub(super) const OPENAPI: u16 = 1 << 2;
/// A tool: the types in `parameters` are capitals.
pub(super) const CAPITALS: u16 = 1 << 3;
/// A tool: its schema is `parametersJsonSchema`.
pub(super) const JSON_SCHEMA: u16 = 1 << 4;
/// A tool: `parameters_json_schema`.
pub(super) const SCHEMA_SNAKE: u16 = 1 << 5;

/// Parameters: the body names the model.
pub(super) const BODY_MODEL: u16 = 1;
/// Parameters: the choice of tools is `VALIDATED` without names; else `AUTO`.
pub(super) const VALIDATED: u16 = 1 << 1;
/// Parameters: the choice of tools is `AUTO` with names; else `VALIDATED`.
pub(super) const AUTO_NAMES: u16 = 1 << 2;
/// Parameters: the answer's schema is `responseSchema`.
pub(super) const RESPONSE_OPENAPI: u16 = 1 << 3;
/// Parameters: the types in `responseSchema` are capitals.
pub(super) const RESPONSE_CAPITALS: u16 = 1 << 4;
/// Parameters: a schema without `responseMimeType`.
pub(super) const NO_MIME: u16 = 1 << 5;
/// Parameters: `contents` is one object and no list.
pub(super) const ONE_CONTENT: u16 = 1 << 6;

/// These bits.
pub(super) fn form(bits: u16) -> Form {
    Form::new(GEMINI, bits)
}

/// `bit` if `condition`.
pub(super) fn bit_if(condition: bool, bit: u16) -> u16 {
    if condition { bit } else { 0 }
}

/// Members of this dialect in one: the first and then those of an object within, whose names are
/// put behind its own: `generationConfig.mediaResolution`. So other dialects name them in losses.
pub(super) fn joined(outer: Extra, name: &str, inner: &Extra) -> Extra {
    let inner = inner.members().iter().map(|(key, value)| (format!("{name}.{key}"), value.clone()));
    Extra::new(GEMINI, outer.members().iter().cloned().chain(inner).collect())
}

/// The members of the object of this name within, as [`joined`] put them there.
pub(super) fn within(extra: &Extra, name: &str) -> Extra {
    let members = extra.members_of(GEMINI).iter();
    let inner = members.filter_map(|(key, value)| Some((inner_name(key, name)?.to_owned(), value.clone())));
    Extra::new(GEMINI, inner.collect())
}

fn inner_name<'k>(key: &'k str, name: &str) -> Option<&'k str> {
    key.strip_prefix(name)?.strip_prefix('.')
}

/// The members that stand in no object within.
pub(super) fn outside(extra: &Extra, names: &[&str]) -> Extra {
    let members = extra.members().iter();
    let outer = members.filter(|(key, _)| names.iter().all(|name| inner_name(key, name).is_none()));
    extra.dialect().map_or_else(Extra::default, |dialect| Extra::new(dialect, outer.cloned().collect()))
}

/// A member that says that a usual one is missing: null is no loss to anybody.
pub(super) fn missing(name: &str) -> (String, Json) {
    (name.to_owned(), Json::of(&serde_json::Value::Null))
}

/// Whether [`missing`] was said of a member.
pub(super) fn is_missing(extra: &Extra, name: &str) -> bool {
    extra.get(GEMINI, name).is_some_and(|value| value.as_str() == "null")
}
