//! What of a tool choice can be said: which tools are offered.

use super::encode_request::Writing;
use crate::hub::{Field, LossKind, Request, Tool, ToolChoice};

/// The tools that are offered: all, those the choice names, or none. That one must be called cannot
/// be said.
pub(super) fn offered<'r>(request: &'r Request, writing: &mut Writing<'_>) -> Vec<&'r Tool> {
    let Some(choice) = &request.tool_choice else { return request.tools.iter().collect() };
    let (names, forced): (Option<&[String]>, bool) = match choice {
        ToolChoice::Auto => (None, false),
        ToolChoice::None => {
            if !request.tools.is_empty() {
                let why = "this dialect has no choice of none: the tools were left out";
                writing.losses.param(Field::ToolChoice, LossKind::Approximated, why);
            }
            return Vec::new();
        }
        ToolChoice::Required => (None, true),
        ToolChoice::Named { name, .. } => (Some(std::slice::from_ref(name)), true),
        ToolChoice::Allowed { names, required, .. } => (Some(names), *required),
        ToolChoice::Opaque(_) => {
            writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice");
            (None, false)
        }
    };
    if forced {
        let why = "no model of this dialect can be forced to call a tool: it may";
        writing.losses.param(Field::ToolChoice, LossKind::Coerced, why);
    }
    names.map_or_else(|| request.tools.iter().collect(), |names| named(request, names, writing))
}

fn named<'r>(request: &'r Request, names: &[String], writing: &mut Writing<'_>) -> Vec<&'r Tool> {
    let wanted = |tool: &&Tool| tool.name().is_some_and(|name| names.iter().any(|wanted| wanted == name));
    let offered: Vec<&Tool> = request.tools.iter().filter(wanted).collect();
    if offered.is_empty() {
        let why = "names none of the tools: name one of them";
        writing.losses.refuse(Field::ToolChoice.name(writing.target.caller), why);
    } else if offered.len() < request.tools.len() {
        let why = "this dialect cannot name tools: the others were left out";
        writing.losses.param(Field::ToolChoice, LossKind::Approximated, why);
    }
    offered
}
