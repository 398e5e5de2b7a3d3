//! A messages request, written.

use super::cache::MAX_HINTS;
use super::form::OWN;
use super::{choice, conversation, definitions, encode_params, reasoning};
use crate::hub::custom_tools;
use crate::hub::write::{self, Obj};
use crate::hub::{
    Capabilities, EncodeError, Encoded, Field, Losses, Num, PartKind, Place, Request, Target, ToolChoice,
};

/// Writes a request for a provider that speaks this dialect. A request that came in it, for a
/// target that takes all, is written as it was, member for member.
///
/// Of another dialect's requests, [`Request::link_results`] must have been called: a result without
/// the id of its call is refused, and so is a call without a result.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    encode(request, target, true)
}

/// Writes a request, or, not `whole`, what of it counts as prompt.
pub(super) fn encode(request: &Request, target: &Target<'_>, whole: bool) -> Result<Encoded, EncodeError> {
    let mut writing = Writing::new(target, false);
    let request = &*custom_tools::as_functions(request, &mut writing.losses);
    writing.hints_to_skip = foreign_hints(request).saturating_sub(MAX_HINTS);
    let body = write::object(|o| {
        if !target.model.is_empty() {
            o.text("model", target.model);
        }
        let cap = if whole { encode_params::cap(&request.params, &mut writing) } else { None };
        o.opt_num("max_tokens", cap.as_ref());
        let forced = tools(o, request, &mut writing);
        let instruction = encode_params::instruction(&request.params, &mut writing);
        conversation::write(o, request, instruction.as_deref(), &mut writing);
        let most = cap.as_ref().and_then(Num::as_u64);
        let plan = reasoning::plan(request, most, forced, &mut writing);
        plan.write(o);
        encode_params::output_config(o, request, &plan, &mut writing);
        if whole {
            encode_params::sampling(o, &request.params, &plan, &mut writing);
            encode_params::labels(o, request, &mut writing);
        }
        writing.losses.extra(&request.extra, &Place::root());
        o.extra(&request.extra, OWN);
    });
    writing.losses.seal(body)
}

/// Writes the tools and the choice. Whether one must be called.
fn tools(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) -> bool {
    if !writing.capabilities().tools {
        if !request.tools.is_empty() {
            writing.losses.refuse(Field::Tools.name(writing.target.caller), "the model takes no tools");
        }
        return false;
    }
    let chosen = choice::plan(request, writing);
    definitions::write(o, &request.tools, chosen.only, writing);
    choice::write(o, &chosen, request, writing);
    chosen.forced && !matches!(request.tool_choice, Some(ToolChoice::Opaque(_)))
}

/// How many hints other dialects' parts and tools have.
fn foreign_hints(request: &Request) -> usize {
    let foreign = |hint: &&crate::hub::CacheHint| hint.raw.as_ref().is_none_or(|raw| raw.of(OWN).is_none());
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let inner = parts.clone().flat_map(|part| match &part.kind {
        PartKind::ToolResult(result) => result.parts.as_slice(),
        _ => &[],
    });
    let of_parts = parts.chain(inner).filter_map(|part| part.cache.as_ref());
    request.tools.iter().filter_map(|tool| tool.cache.as_ref()).chain(of_parts).filter(foreign).count()
}

/// What an encoder needs at hand while it writes.
pub(super) struct Writing<'w> {
    pub(super) losses: Losses,
    pub(super) target: &'w Target<'w>,
    /// An answer is written, not a request.
    pub(super) answer: bool,
    /// What is written was said by the model, so that what cannot be said again is dropped.
    pub(super) by_model: bool,
    /// How many of the next cache hints are too many.
    pub(super) hints_to_skip: usize,
}

impl<'w> Writing<'w> {
    pub(super) fn new(target: &'w Target<'w>, answer: bool) -> Self {
        Self { losses: Losses::new(target.caller, OWN), target, answer, by_model: false, hints_to_skip: 0 }
    }

    pub(super) fn capabilities(&self) -> &'w Capabilities {
        self.target.capabilities
    }

    /// Whether the caller speaks this dialect too, so that what it wrote may be written again.
    pub(super) fn same(&self) -> bool {
        self.target.caller == OWN
    }
}
