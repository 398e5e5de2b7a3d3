//! `tool_choice`, with `disable_parallel_tool_use`. Read and written.

use super::encode_request::Writing;
use super::form::{OWN, PARALLEL, bit_if};
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Field, Fields, LossKind, Native, Request, ToolChoice};
use crate::json::Kind;

type Choice = (Option<ToolChoice>, Option<bool>, u16);

/// Takes the choice, whether several calls may be made at once, and a bit of the parameters' form.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Choice, DecodeError> {
    let at = fields.at().member("tool_choice");
    let Some(node) = fields.take_kind("tool_choice", Kind::Object)? else { return Ok((None, None, 0)) };
    let mut inner = node.fields(at)?;
    let kind = inner.require_text("type")?;
    let parallel = inner.flag("disable_parallel_tool_use")?.map(|disabled| !disabled);
    let known = match kind.as_str() {
        "auto" => Some(ToolChoice::Auto),
        "any" => Some(ToolChoice::Required),
        "none" => Some(ToolChoice::None),
        "tool" => Some(ToolChoice::Named { name: inner.require_text("name")?, custom: false }),
        _ => None,
    };
    match known.filter(|_| inner.is_empty()) {
        Some(choice) => Ok((Some(choice), parallel, bit_if(parallel == Some(true), PARALLEL))),
        None => {
            let native = Native { dialect: OWN, json: node.json() };
            Ok((Some(ToolChoice::Opaque(native)), parallel, 0))
        }
    }
}

/// What is written: the choice, and the tools it leaves.
pub(super) struct Chosen<'r> {
    choice: Option<&'r ToolChoice>,
    /// The tools of these names alone are given, if any are named.
    pub(super) only: Option<&'r [String]>,
    /// A tool must be called, with which thinking does not go.
    pub(super) forced: bool,
}

/// What of the request's choice the target can be told.
pub(super) fn plan<'r>(request: &'r Request, writing: &mut Writing<'_>) -> Chosen<'r> {
    let mut choice = request.tool_choice.as_ref();
    if request.tools.is_empty() && !writing.same() {
        if choice.is_some_and(is_forced) {
            writing.losses.param(Field::ToolChoice, LossKind::Dropped, "there are no tools to call");
        }
        choice = None;
    }
    let only = match choice {
        Some(ToolChoice::Allowed { names, .. }) => {
            writing.losses.param(Field::ToolChoice, LossKind::Approximated, "the tools not allowed were left out");
            Some(names.as_slice())
        }
        _ => None,
    };
    if choice.is_some_and(is_forced) && !writing.capabilities().forced_tools {
        let why = "the model cannot be forced to call a tool: it may";
        writing.losses.param(Field::ToolChoice, LossKind::Coerced, why);
        choice = Some(&ToolChoice::Auto);
    }
    if let Some(ToolChoice::Opaque(native)) = choice
        && native.of(OWN).is_none()
    {
        writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice");
        choice = None;
    }
    Chosen { choice, only, forced: choice.is_some_and(is_forced) }
}

fn is_forced(choice: &ToolChoice) -> bool {
    matches!(choice, ToolChoice::Required | ToolChoice::Named { .. } | ToolChoice::Allowed { required: true, .. })
}

/// Writes the choice.
pub(super) fn write(o: &mut Obj<'_>, chosen: &Chosen<'_>, request: &Request, writing: &mut Writing<'_>) {
    let alone = request.parallel_tools == Some(false) && (writing.same() || !request.tools.is_empty());
    if alone && !writing.capabilities().parallel_tools {
        let why = "the model cannot be kept from calling several tools at once";
        writing.losses.param(Field::ParallelTools, LossKind::Dropped, why);
    }
    let disable = match request.parallel_tools {
        Some(false) if alone && writing.capabilities().parallel_tools => Some(true),
        Some(true) if request.params.form.has(OWN, PARALLEL) => Some(false),
        _ => None,
    };
    let (word, name) = match chosen.choice {
        None if disable.is_none() => return,
        Some(ToolChoice::Opaque(native)) => return o.raw("tool_choice", native.json.as_str()),
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required | ToolChoice::Allowed { .. }) => ("any", None),
        Some(ToolChoice::Named { name, .. }) => ("tool", Some(name.as_str())),
    };
    o.object("tool_choice", |o| {
        o.text("type", word);
        o.opt_text("name", name);
        // Who may call nothing cannot call two things at once.
        if word != "none" || writing.same() {
            o.opt_flag("disable_parallel_tool_use", disable);
        }
    });
}
