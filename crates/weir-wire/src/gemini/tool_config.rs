//! `toolConfig`: whether and what the model must call. Read and written.

use super::encode_request::Writing;
use super::form::{AUTO_NAMES, GEMINI, VALIDATED, bit_if, joined, outside, within};
use super::names::{Aliases, spelt};
use crate::hub::write::{self, Obj};
use crate::hub::{DecodeError, Extra, Field, Fields, Form, LossKind, Native, Node, Request, ToolChoice};
use crate::json::Kind;

/// What `toolConfig` says.
#[derive(Default)]
pub(super) struct Config {
    pub(super) choice: Option<ToolChoice>,
    /// Bits of the parameters' form.
    pub(super) bits: u16,
    /// The members beside the choice, those of `functionCallingConfig` under its name.
    pub(super) extra: Extra,
}

const CALLING: &str = "functionCallingConfig";

/// Takes `toolConfig` from a request. An empty one is left.
pub(super) fn take(fields: &mut Fields<'_>, aliases: &mut Aliases) -> Result<Config, DecodeError> {
    let name = aliases.of(fields, "toolConfig");
    if fields.peek(name).is_none_or(|node| node.json().is_empty()) {
        aliases.0.retain(|alias| *alias != "toolConfig");
        return Ok(Config::default());
    }
    let mut outer = fields.require_object(name)?;
    let calling = aliases.of(&outer, CALLING);
    let mut config = Config::default();
    let mut inner = Extra::default();
    match outer.peek(calling).filter(|node| !node.json().is_empty()) {
        None => aliases.0.retain(|alias| *alias != CALLING),
        Some(node) => {
            let fields = outer.require_object(calling)?;
            (config.choice, config.bits, inner) = choice(node, fields, aliases)?;
        }
    }
    config.extra = joined(outer.rest(GEMINI), CALLING, &inner);
    Ok(config)
}

fn choice(
    node: Node<'_>,
    mut fields: Fields<'_>,
    aliases: &mut Aliases,
) -> Result<(Option<ToolChoice>, u16, Extra), DecodeError> {
    let opaque = || ToolChoice::Opaque(Native { dialect: GEMINI, json: node.json() });
    let word = fields.text("mode")?;
    let name = aliases.of(&fields, "allowedFunctionNames");
    let mut names = Vec::new();
    for (at, node) in fields.list(name)? {
        let wrong = || DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name()));
        names.push(node.text().ok_or_else(wrong)?.into_owned());
    }
    let named = names.len() == 1;
    let (choice, bits) = match (word.as_deref(), names.is_empty()) {
        (Some("AUTO"), true) => (ToolChoice::Auto, 0),
        (Some("VALIDATED"), true) => (ToolChoice::Auto, VALIDATED),
        (Some("NONE"), true) => (ToolChoice::None, 0),
        (Some("ANY"), true) => (ToolChoice::Required, 0),
        (Some("ANY"), false) if named => {
            (ToolChoice::Named { name: names.pop().unwrap_or_default(), custom: false }, 0)
        }
        (Some(word @ ("ANY" | "AUTO" | "VALIDATED")), false) => {
            let choice = ToolChoice::Allowed { names, required: word == "ANY", native: None };
            (choice, bit_if(word == "AUTO", AUTO_NAMES))
        }
        _ => {
            aliases.0.retain(|alias| *alias != "allowedFunctionNames");
            return Ok((Some(opaque()), 0, Extra::default()));
        }
    };
    Ok((Some(choice), bits, fields.rest(GEMINI)))
}

/// Writes `toolConfig`.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let aliases = &request.params.aliases;
    let name = |name: &'static str| spelt(name, writing.same() && aliases.contains(&name));
    let (outer_name, calling_name, names_name) = (name("toolConfig"), name(CALLING), name("allowedFunctionNames"));
    let config = within(&request.extra, "toolConfig");
    let inner = within(&config, CALLING);
    let choice = request.tool_choice.as_ref().and_then(|choice| mode(choice, request.params.form, writing));
    let calling = choice.map(|choice| match choice {
        Mode::Raw(json) => json,
        Mode::Word(word, names) => write::object(|o| {
            o.text("mode", word);
            if !names.is_empty() {
                o.array(names_name, |a| names.iter().for_each(|name| a.text(name)));
            }
            o.extra(&inner, GEMINI);
        }),
    });
    let calling = calling.or_else(|| (!inner.is_empty()).then(|| write::object(|o| o.extra(&inner, GEMINI))));
    if calling.is_none() && config.is_empty() {
        return;
    }
    o.object(outer_name, |o| {
        if let Some(calling) = calling {
            o.raw(calling_name, &calling);
        }
        o.extra(&outside(&config, &[CALLING]), GEMINI);
    });
}

/// What is written of a choice.
enum Mode<'c> {
    Word(&'static str, Vec<&'c str>),
    Raw(String),
}

fn mode<'c>(choice: &'c ToolChoice, form: Form, writing: &mut Writing<'_>) -> Option<Mode<'c>> {
    let forced =
        matches!(choice, ToolChoice::Required | ToolChoice::Named { .. } | ToolChoice::Allowed { required: true, .. });
    if forced && !writing.capabilities().forced_tools {
        let why = "the model cannot be forced to call a tool: it may";
        writing.losses.param(Field::ToolChoice, LossKind::Coerced, why);
        return Some(Mode::Word("AUTO", Vec::new()));
    }
    Some(match choice {
        ToolChoice::Auto if form.has(GEMINI, VALIDATED) => Mode::Word("VALIDATED", Vec::new()),
        ToolChoice::Auto => Mode::Word("AUTO", Vec::new()),
        ToolChoice::None => Mode::Word("NONE", Vec::new()),
        ToolChoice::Required => Mode::Word("ANY", Vec::new()),
        ToolChoice::Named { name, .. } => Mode::Word("ANY", vec![name]),
        ToolChoice::Allowed { names, required, .. } => {
            let word = match required {
                true => "ANY",
                false if form.has(GEMINI, AUTO_NAMES) => "AUTO",
                false => "VALIDATED",
            };
            Mode::Word(word, names.iter().map(String::as_str).collect())
        }
        ToolChoice::Opaque(native) => match native.of(GEMINI) {
            Some(json) if json.kind() == Kind::Object => Mode::Raw(json.as_str().to_owned()),
            _ => {
                writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice");
                return None;
            }
        },
    })
}
